//! Reads WeChat's JSON answers: tells a business error from a success, whatever the content type.
//!
//! Lenient where WeChat is loose (`errcode` missing, null or a string); it does not know any API.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{Api, ErrCode, WechatError};

/// Enough of an `errmsg` for a person; some APIs echo the whole request in it.
const MAX_MESSAGE_CHARS: usize = 200;

/// Gives the success answer as `T`, or the business error. `secrets` are struck out of messages.
pub(crate) fn parse<T: DeserializeOwned>(
    api: Api,
    body: &[u8],
    secrets: &[&str],
) -> Result<T, WechatError> {
    let malformed = |reason| WechatError::Malformed { api, reason };
    if body.trim_ascii().is_empty() {
        return Err(malformed("the answer is empty"));
    }
    // No serde error is kept: it may quote the body.
    let answer: Value =
        serde_json::from_slice(body).map_err(|_| malformed("the answer is not JSON"))?;
    if !answer.is_object() {
        return Err(malformed("the answer is not a JSON object"));
    }
    let code = errcode(&answer["errcode"]).ok_or_else(|| malformed("errcode is not a number"))?;
    if code != ErrCode(0) {
        let message = answer["errmsg"].as_str().unwrap_or_default();
        return Err(WechatError::Api {
            api,
            code,
            message: presentable(message, secrets),
            rid: rid(message).map(str::to_owned),
        });
    }
    serde_json::from_value(answer).map_err(|_| malformed("the answer has fields of other types"))
}

/// Documentation samples also show `"42001"`; successes often have no `errcode` at all.
fn errcode(value: &Value) -> Option<ErrCode> {
    match value {
        Value::Null => Some(ErrCode(0)),
        Value::Number(number) => number.as_i64().map(ErrCode),
        Value::String(text) => text.trim().parse().ok().map(ErrCode),
        _ => None,
    }
}

fn presentable(message: &str, secrets: &[&str]) -> String {
    let mut message = message.to_owned();
    for value in secrets {
        if !value.is_empty() {
            message = message.replace(value, "***");
        }
    }
    message.chars().take(MAX_MESSAGE_CHARS).collect()
}

/// The request id: `…, rid: 5f0d3c1a-0a1b2c3d-4e5f6071`, in old answers `… hints: [ req_id: AbC1 ]`.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_value(body: &str) -> Result<Value, WechatError> {
        parse(Api::Code2Session, body.as_bytes(), &["hush"])
    }

    #[test]
    fn missing_null_and_zero_are_success() {
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
    fn a_code_may_be_text() {
        let error = parse_value(r#"{"errcode":"42001","errmsg":"expired"}"#).unwrap_err();
        assert_eq!(error.code(), Some(ErrCode(42001)));
    }

    #[test]
    fn what_is_no_answer_is_malformed() {
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
    fn rids_of_both_forms_are_found() {
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
    fn messages_lose_secrets_and_length() {
        let body = format!(r#"{{"errcode":1,"errmsg":"hush {}"}}"#, "x".repeat(1000));
        let shown = parse_value(&body).unwrap_err().to_string();
        assert!(!shown.contains("hush") && shown.len() < 300, "{shown}");
    }
}
