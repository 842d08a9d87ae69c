//! A JSON object written once, in a given order: what is signed is what is sent.

use serde_json::Value;

/// The text of an object that is being written.
pub(crate) struct JsonObject(String);

impl JsonObject {
    pub(crate) fn new() -> Self {
        Self("{".to_owned())
    }

    /// Appends a field.
    pub(crate) fn field(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        // `Value` writes text as UTF-8 and escapes only what JSON requires.
        self.0.push_str(&Value::from(name).to_string());
        self.0.push(':');
        self.0.push_str(&value.into().to_string());
        self
    }

    /// Appends a field if there is a value.
    pub(crate) fn optional(self, name: &'static str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.field(name, value),
            None => self,
        }
    }

    pub(crate) fn finish(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_their_order_and_text_stays_utf8() {
        let text = JsonObject::new()
            .field("z", 1)
            .optional("absent", None::<i64>)
            .field("a", "新\"\n🎁")
            .finish();
        assert_eq!(text, "{\"z\":1,\"a\":\"新\\\"\\n🎁\"}");
        assert_eq!(JsonObject::new().finish(), "{}");
    }
}
