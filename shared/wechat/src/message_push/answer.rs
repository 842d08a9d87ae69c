//! What WeChat expects as an answer: `success`, or an `ErrCode` in the format of the push.

use quick_xml::escape::escape;
use serde_json::json;

use super::PushFormat;

/// Our code for a failure, as in WeChat's documentation.
const FAILED: i64 = 99_999;
/// WeChat's `SubErrCode`: the player has not registered in the game.
const NOT_REGISTERED: i64 = 172_935_494;

/// The form of answer that an event requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerForm {
    /// The text `success`.
    Success,
    /// `ErrCode` and `ErrMsg`, 0 for a success.
    ErrCode,
}

/// What became of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushOutcome {
    /// Accepted: WeChat does not send it again.
    Accepted,
    /// Not accepted, for a reason that WeChat shows in its console: it sends it again.
    Failed(&'static str),
    /// A gift for a player who has never signed in. WeChat sends it again by other rules.
    NotRegistered,
}

/// An answer, to be sent with HTTP 200.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushAnswer {
    /// The content type.
    pub content_type: &'static str,
    /// The body.
    pub body: String,
}

impl AnswerForm {
    /// Writes the answer to a push of this format.
    pub fn answer(self, format: PushFormat, outcome: PushOutcome) -> PushAnswer {
        match self {
            Self::Success => PushAnswer {
                content_type: "text/plain; charset=utf-8",
                body: match outcome {
                    PushOutcome::Accepted => "success".to_owned(),
                    PushOutcome::Failed(_) | PushOutcome::NotRegistered => "fail".to_owned(),
                },
            },
            Self::ErrCode => with_code(format, outcome),
        }
    }
}

fn with_code(format: PushFormat, outcome: PushOutcome) -> PushAnswer {
    let (code, message, sub_code) = match outcome {
        PushOutcome::Accepted => (0, "Success", None),
        PushOutcome::Failed(reason) => (FAILED, reason, None),
        PushOutcome::NotRegistered => (FAILED, "player not registered", Some(NOT_REGISTERED)),
    };
    match format {
        PushFormat::Json => {
            let mut body = json!({"ErrCode": code, "ErrMsg": message});
            if let Some(sub_code) = sub_code {
                body["SubErrCode"] = sub_code.into();
            }
            PushAnswer {
                content_type: "application/json; charset=utf-8",
                body: body.to_string(),
            }
        }
        PushFormat::Xml => {
            let sub_code = sub_code
                .map(|code| format!("<SubErrCode>{code}</SubErrCode>"))
                .unwrap_or_default();
            let message = escape(message);
            PushAnswer {
                content_type: "text/xml; charset=utf-8",
                body: format!(
                    "<xml><ErrCode>{code}</ErrCode><ErrMsg>{message}</ErrMsg>{sub_code}</xml>"
                ),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_have_the_form_of_the_event_and_the_format_of_the_push() {
        let body = |form: AnswerForm, format, outcome| form.answer(format, outcome).body;
        let (json, xml) = (PushFormat::Json, PushFormat::Xml);
        let (accepted, failed) = (PushOutcome::Accepted, PushOutcome::Failed("a < b"));
        let code = AnswerForm::ErrCode;
        assert_eq!(
            body(code, json, accepted),
            r#"{"ErrCode":0,"ErrMsg":"Success"}"#
        );
        assert_eq!(
            body(code, json, failed),
            r#"{"ErrCode":99999,"ErrMsg":"a < b"}"#
        );
        assert_eq!(
            body(code, xml, accepted),
            "<xml><ErrCode>0</ErrCode><ErrMsg>Success</ErrMsg></xml>"
        );
        assert_eq!(
            body(code, xml, failed),
            "<xml><ErrCode>99999</ErrCode><ErrMsg>a &lt; b</ErrMsg></xml>"
        );
        let unregistered = body(code, json, PushOutcome::NotRegistered);
        assert!(
            unregistered.contains(r#""SubErrCode":172935494"#),
            "{unregistered}"
        );
        assert!(body(code, xml, PushOutcome::NotRegistered).contains("<SubErrCode>172935494<"));
        assert_eq!(body(AnswerForm::Success, xml, accepted), "success");
        assert_ne!(body(AnswerForm::Success, json, failed), "success");
    }
}
