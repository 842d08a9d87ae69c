//! A message, JSON or XML, as one envelope.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::fields::Fields;
use super::{Unreadable, xml};

/// Maximum depth of a message; those of WeChat have four levels.
pub(super) const MAX_DEPTH: usize = 16;
/// Maximum length of a body or message in bytes; those of WeChat have a few thousand.
pub(super) const MAX_BYTES: usize = 256 * 1024;

/// The format of a message; answers have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushFormat {
    /// JSON.
    Json,
    /// XML.
    Xml,
}

/// What all messages have. The rest is read as an [`super::Event`].
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope {
    /// The original id of our app, `gh_…`.
    pub to_user_name: Option<String>,
    /// The sender: usually the player, in payment events an account of WeChat.
    pub from_user_name: Option<String>,
    /// Time of the message.
    pub create_time: Option<Timestamp>,
    /// `event` for events.
    pub msg_type: Option<String>,
    /// Name of the event.
    pub event: Option<String>,
    /// WeChat's id of the message; most events have none.
    pub msg_id: Option<String>,
    fields: Map<String, Value>,
}

impl Envelope {
    /// Reads a decrypted message.
    ///
    /// # Errors
    /// The reason why it cannot be read.
    pub fn read(text: &str) -> Result<(Self, PushFormat), Unreadable> {
        let (fields, format) = parse(text)?;
        let view = Fields(&fields);
        let create_time = view.integer("CreateTime");
        let envelope = Self {
            to_user_name: view.text("ToUserName"),
            from_user_name: view.text("FromUserName"),
            create_time: create_time.and_then(|seconds| Timestamp::from_second(seconds).ok()),
            msg_type: view.text("MsgType"),
            event: view.text("Event"),
            msg_id: view.text("MsgId"),
            fields,
        };
        Ok((envelope, format))
    }

    pub(super) fn fields(&self) -> Fields<'_> {
        Fields(&self.fields)
    }
}

/// Decodes a body.
pub(super) fn text(body: &[u8]) -> Result<&str, Unreadable> {
    if body.len() > MAX_BYTES {
        return Err(Unreadable::TooLong);
    }
    std::str::from_utf8(body).map_err(|_| Unreadable::NotUtf8)
}

/// Parses a text by its first character.
pub(super) fn parse(text: &str) -> Result<(Map<String, Value>, PushFormat), Unreadable> {
    if text.trim_start().starts_with('<') {
        return Ok((xml::parse(text)?, PushFormat::Xml));
    }
    // serde_json stops at a depth of its own, so checking the result does not overflow the stack.
    match serde_json::from_str(text) {
        Ok(Value::Object(fields)) => {
            let too_deep = fields
                .values()
                .any(|value| !is_within(value, MAX_DEPTH - 1));
            match too_deep {
                true => Err(Unreadable::TooDeep),
                false => Ok((fields, PushFormat::Json)),
            }
        }
        Ok(_) => Err(Unreadable::NotObject),
        Err(_) => Err(Unreadable::NotJson),
    }
}

/// Whether a value has at most this many levels.
fn is_within(value: &Value, levels: usize) -> bool {
    match value {
        Value::Array(values) => levels > 0 && values.iter().all(|one| is_within(one, levels - 1)),
        Value::Object(fields) => {
            levels > 0 && fields.values().all(|one| is_within(one, levels - 1))
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_bounded_in_depth_and_length() {
        let nested = |depth: usize| {
            let (open, close) = (r#"{"a":"#.repeat(depth), "}".repeat(depth));
            parse(&format!("{open}1{close}")).map(|_| ())
        };
        assert_eq!(nested(MAX_DEPTH), Ok(()));
        assert_eq!(nested(MAX_DEPTH + 1), Err(Unreadable::TooDeep));
        assert_eq!(nested(50_000), Err(Unreadable::NotJson));
        let long = vec![b' '; MAX_BYTES + 1];
        assert_eq!(text(&long), Err(Unreadable::TooLong));
        assert_eq!(text(b"\xff"), Err(Unreadable::NotUtf8));
    }

    #[test]
    fn other_texts_are_refused() {
        for bad in ["", "success", "{", "{\"a\":1}x"] {
            assert_eq!(parse(bad), Err(Unreadable::NotJson), "{bad}");
        }
        for bad in ["[]", "1", "\"a\"", "null"] {
            assert_eq!(parse(bad), Err(Unreadable::NotObject), "{bad}");
        }
    }

    #[test]
    fn json_and_xml_give_the_same_envelope() {
        let json = r#"{"ToUserName":"gh_1","FromUserName":"oA","CreateTime":1790000300,"MsgType":"event","Event":"x","MsgId":6000}"#;
        let xml = "<xml><ToUserName>gh_1</ToUserName><FromUserName><![CDATA[oA]]></FromUserName><CreateTime>1790000300</CreateTime><MsgType>event</MsgType><Event>x</Event><MsgId>6000</MsgId></xml>";
        let read = |text| {
            let (mut envelope, _) = Envelope::read(text).unwrap();
            envelope.fields.clear();
            envelope
        };
        assert_eq!(read(json), read(xml));
        assert_eq!(read(json).create_time.unwrap().as_second(), 1_790_000_300);
    }
}
