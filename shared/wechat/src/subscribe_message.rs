//! Subscribe messages: `POST /cgi-bin/message/subscribe/send`.
//!
//! One acceptance of the player is one message. The call is not idempotent: one whose answer was lost may have sent
//! the message ([`WechatError::may_have_taken_effect`]).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::request::Request;
use crate::{Api, OpenId, PlatformClient, WechatError};

/// The version of the game that a tap on a message opens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MiniProgramState {
    /// The released one.
    #[default]
    Formal,
    /// The trial one.
    Trial,
    /// The developers' one.
    Developer,
}

/// The language of a message's frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum MessageLanguage {
    /// Simplified Chinese.
    #[default]
    #[serde(rename = "zh_CN")]
    SimplifiedChinese,
    /// English.
    #[serde(rename = "en_US")]
    English,
    /// Traditional Chinese of Hong Kong.
    #[serde(rename = "zh_HK")]
    HongKong,
    /// Traditional Chinese of Taiwan.
    #[serde(rename = "zh_TW")]
    Taiwan,
}

/// A message to a player.
#[derive(Clone, Copy, Debug)]
pub struct SubscribeMessage<'a> {
    /// The player.
    pub open_id: &'a OpenId,
    /// The template.
    pub template_id: &'a str,
    /// The fields of the template.
    pub data: &'a BTreeMap<String, String>,
    /// The query with which a tap opens the game, such as `?from=message`; none: a tap does nothing.
    pub page: Option<&'a str>,
    /// The version of the game.
    pub state: MiniProgramState,
    /// The language of the frame.
    pub language: MessageLanguage,
}

impl SubscribeMessage<'_> {
    fn body(&self) -> Value {
        let field = |(name, text): (&String, &String)| (name.clone(), json!({"value": text}));
        let data: Map<String, Value> = self.data.iter().map(field).collect();
        let mut body = json!({
            "touser": self.open_id.as_str(),
            "template_id": self.template_id,
            "data": data,
            "miniprogram_state": self.state,
            "lang": self.language,
        });
        if let Some(page) = self.page {
            body["page"] = page.into();
        }
        body
    }
}

impl PlatformClient {
    /// Sends a message. Returns WeChat's id of it, if WeChat names one.
    ///
    /// # Errors
    /// Any [`WechatError`]; code [`crate::ErrCode::NOT_SUBSCRIBED`] is part of normal life.
    pub async fn send_subscribe_message(
        &self,
        message: &SubscribeMessage<'_>,
    ) -> Result<Option<String>, WechatError> {
        let request = Request::post(Api::SubscribeSend, &message.body());
        let response: Response = self.call(&request).await?;
        Ok(response.msgid.and_then(|id| match id {
            Value::String(text) if !text.is_empty() => Some(text),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }))
    }
}

#[derive(Deserialize)]
struct Response {
    /// Not documented, but read by several SDKs.
    msgid: Option<Value>,
}

/// Returns the field that WeChat rejects (47003), which `errmsg` names as `data.thing1.value`.
pub fn rejected_field(error: &WechatError) -> Option<&str> {
    let WechatError::Api { message, .. } = error else {
        return None;
    };
    let (_, after) = message.split_once("data.")?;
    let (name, _) = after.split_once(".value")?;
    let good = (1..=32).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    good.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrCode;

    #[test]
    fn body_has_wechats_form() {
        let data = BTreeMap::from([("thing1".to_owned(), "体力已满".to_owned())]);
        let open_id = OpenId::new("o1");
        let mut message = SubscribeMessage {
            open_id: &open_id,
            template_id: "t1",
            data: &data,
            page: Some("?from=message"),
            state: MiniProgramState::Formal,
            language: MessageLanguage::SimplifiedChinese,
        };
        let body = json!({"touser": "o1", "template_id": "t1", "page": "?from=message",
            "data": {"thing1": {"value": "体力已满"}}, "miniprogram_state": "formal", "lang": "zh_CN"});
        assert_eq!(message.body(), body);
        message.page = None;
        assert_eq!(message.body().get("page"), None);
    }

    #[test]
    fn rejected_field_is_read_of_the_message() {
        let error = |message: &str| WechatError::Api {
            api: Api::SubscribeSend,
            code: ErrCode(47003),
            message: message.to_owned(),
            rid: None,
        };
        let named = error("argument invalid! data.thing1.value invalid rid: 1-2-3");
        assert_eq!(rejected_field(&named), Some("thing1"));
        for odd in ["argument invalid", "data.a b.value", "data..value"] {
            assert_eq!(rejected_field(&error(odd)), None, "{odd}");
        }
    }
}
