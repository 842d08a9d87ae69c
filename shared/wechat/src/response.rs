//! Parses WeChat's JSON responses, whatever their content type, into a success or a business error.
//!
//! Lenient where WeChat is inconsistent (`errcode` missing, null or a string). Knows no specific API.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{Api, ErrCode, WechatError};

/// Length to which `errmsg` is truncated: some APIs echo the whole request in it.
const MAX_MESSAGE_CHARS: usize = 200;

/// Deserializes a success as `T`, or returns the business error. `secrets` are redacted from messages.
pub(crate) fn parse<T: DeserializeOwned>(
    api: Api,
    body: &[u8],
    secrets: &[&str],
) -> Result<T, WechatError> {
    let malformed = |reason| WechatError::Malformed { api, reason };
    if body.trim_ascii().is_empty() {
        return Err(malformed("the response is empty"));
    }
    // serde's error is dropped: it may quote the body.
    let response: Value =
        serde_json::from_slice(body).map_err(|_| malformed("the response is not JSON"))?;
    if !response.is_object() {
        return Err(malformed("the response is not a JSON object"));
    }
    let code = errcode(&response["errcode"]).ok_or_else(|| malformed("errcode is not a number"))?;
    if code != ErrCode(0) {
        let message = response["errmsg"].as_str().unwrap_or_default();
        let rid = rid(message).filter(|rid| !api.echoes_requests() || is_new_rid(rid));
        return Err(WechatError::Api {
            api,
            code,
            rid: rid.map(str::to_owned),
            message: match api.echoes_requests() {
                true => "not shown: it echoes the request".to_owned(),
                false => redact(message, secrets),
            },
        });
    }
    serde_json::from_value(response)
        .map_err(|_| malformed("the response has a field of the wrong type"))
}

/// WeChat's documentation also shows `"42001"`; successes often have no `errcode` at all.
fn errcode(value: &Value) -> Option<ErrCode> {
    match value {
        Value::Null => Some(ErrCode(0)),
        Value::Number(number) => number.as_i64().map(ErrCode),
        Value::String(text) => text.trim().parse().ok().map(ErrCode),
        _ => None,
    }
}

fn redact(message: &str, secrets: &[&str]) -> String {
    let mut message = message.to_owned();
    for value in secrets {
        if !value.is_empty() {
            message = message.replace(value, "***");
        }
    }
    message.chars().take(MAX_MESSAGE_CHARS).collect()
}

/// Extracts the request id: `…, rid: 5f0d3c1a-0a1b2c3d-4e5f6071`, formerly `… hints: [ req_id: AbC1 ]`.
fn rid(message: &str) -> Option<&str> {
    let (_, after) = message
        .rsplit_once("rid:")
        .or_else(|| message.rsplit_once("req_id:"))?;
    let after = after.trim_start();
    let end = after
        .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_')))
        .unwrap_or(after.len());
    (1..=64).contains(&end).then(|| &after[..end])
}

/// Whether the request id has the new format, which no id of a player has.
fn is_new_rid(rid: &str) -> bool {
    let is_hex = |group: &str| group.len() == 8 && group.bytes().all(|b| b.is_ascii_hexdigit());
    rid.split('-').count() == 3 && rid.split('-').all(is_hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_value(body: &str) -> Result<Value, WechatError> {
        parse(Api::Code2Session, body.as_bytes(), &["hush"])
    }

    #[test]
    fn missing_null_and_zero_errcodes_mean_success() {
        for body in [
            r#"{"a":1}"#,
            r#"{"errcode":null}"#,
            r#"{"errcode":0}"#,
            r#"{"errcode":"0"}"#,
        ] {
            assert!(parse_value(body).is_ok(), "{body}");
        }
    }

    #[test]
    fn errcode_may_be_a_string() {
        let error = parse_value(r#"{"errcode":"42001","errmsg":"expired"}"#).unwrap_err();
        assert_eq!(error.code(), Some(ErrCode(42001)));
    }

    #[test]
    fn unparsable_bodies_are_malformed() {
        for body in [
            "",
            " \n",
            "{\"a\":",
            "[]",
            "ok",
            "<html>",
            r#"{"errcode":[]}"#,
            r#"{"errcode":"x"}"#,
        ] {
            assert!(
                matches!(parse_value(body), Err(WechatError::Malformed { .. })),
                "{body}"
            );
        }
    }

    #[test]
    fn both_rid_formats_are_extracted() {
        let new = "invalid code, rid: 5f0d3c1a-0a1b2c3d-4e5f6071";
        assert_eq!(rid(new), Some("5f0d3c1a-0a1b2c3d-4e5f6071"));
        assert_eq!(
            rid("invalid code, hints: [ req_id: aBc_1234 ]"),
            Some("aBc_1234")
        );
        assert_eq!(rid("invalid code"), None);
        assert_eq!(rid("rid: "), None);
    }

    #[test]
    fn messages_that_echo_requests_are_dropped() {
        for (end, expected) in [
            (
                "rid: 5f0d3c1a-0a1b2c3d-4e5f6071",
                Some("5f0d3c1a-0a1b2c3d-4e5f6071"),
            ),
            ("rid: oTest_virtualpay_player_0001", None),
            ("rid: 5f0d3c1a-0a1b2c3d", None),
        ] {
            let body = format!(r#"{{"errcode":90018,"errmsg":"[openid] oTest_player, {end}"}}"#);
            let error = parse::<Value>(Api::VpaySpend, body.as_bytes(), &[]).unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("oTest"), "{shown}");
            assert_eq!(error.rid(), expected);
        }
    }

    #[test]
    fn messages_are_redacted_and_truncated() {
        let body = format!(r#"{{"errcode":1,"errmsg":"hush {}"}}"#, "x".repeat(1000));
        let shown = parse_value(&body).unwrap_err().to_string();
        assert!(!shown.contains("hush") && shown.len() < 300, "{shown}");
    }
}
