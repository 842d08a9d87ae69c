//! How WeChat's payment sheets ended. WeChat reports that to the client alone; the SDK passes it on as the event
//! `$payment` with the sheet's `code`, so these are figures that a client can invent.

use serde::Deserialize;

use super::batch::EventLine;

/// Name of the SDK's event for the end of a sheet.
const PAYMENT: &str = "$payment";
/// Label of a sheet that gave no code.
const NONE: &str = "none";
/// Label of a code that is not in [`CODES`].
const OTHER: &str = "other";

/// The codes of both channels' sheets (0: paid), and the labels for what is none of them.
pub(super) const CODES: &[&str] = &[
    "0", "1", "2", "3", "4", "5", "6", "7", "-1", "-2", "-6", "1000", "1001", "1003", "-15001",
    "-15002", "-15003", "-15004", "-15005", "-15006", "-15007", "-15008", "-15009", "-15010",
    "-15011", "-15012", "-15013", "-15014", "-15015", "-15016", "-15017", "701001", NONE, OTHER,
];

#[derive(Deserialize)]
struct Params {
    code: Option<i64>,
}

/// Returns the label of the sheet's code; none if the event is not the end of a sheet.
pub fn code_of(event: &EventLine) -> Option<&'static str> {
    if event.name != PAYMENT {
        return None;
    }
    let Ok(Params { code }) = serde_json::from_str(event.params.get()) else {
        return Some(OTHER);
    };
    let Some(code) = code else { return Some(NONE) };
    let code = code.to_string();
    let known = CODES.iter().find(|known| **known == code);
    Some(known.copied().unwrap_or(OTHER))
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;

    #[test]
    fn labels_are_bounded_whatever_a_client_sends() {
        for (name, params, label) in [
            (
                "$payment",
                r#"{"channel":"virtual_payment","code":-15016}"#,
                Some("-15016"),
            ),
            ("$payment", r#"{"code":0}"#, Some("0")),
            ("$payment", r#"{"verdict":"ask"}"#, Some("none")),
            ("$payment", r#"{"code":-99999}"#, Some("other")),
            ("$payment", r#"{"code":"-15016"}"#, Some("other")),
            ("$payments", r#"{"code":-15016}"#, None),
        ] {
            let event = EventLine {
                name: name.to_owned(),
                params: RawValue::from_string(params.to_owned()).unwrap(),
                at: 0,
                id: None,
                session_id: None,
                player: 0,
            };
            assert_eq!(code_of(&event), label, "{name} {params}");
        }
    }
}
