//! Reads the fields of a message, from JSON and XML alike: XML has only texts, and in JSON numbers come
//! quoted, single entries without their list, and names with blanks.

use serde_json::{Map, Value};

use super::InvalidEvent;
use crate::lenient::integer;

/// The fields of an object.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a>(pub(super) &'a Map<String, Value>);

impl<'a> Fields<'a> {
    fn get(self, name: &str) -> Option<&'a Value> {
        let exact = self.0.get(name);
        let value = exact.or_else(|| {
            let mut fields = self.0.iter();
            fields.find_map(|(key, value)| (key.trim() == name).then_some(value))
        });
        value.filter(|value| !value.is_null())
    }

    /// Returns a text or number as text; empty counts as absent.
    pub(super) fn text(self, name: &str) -> Option<String> {
        match self.get(name)? {
            Value::String(text) if text.trim().is_empty() => None,
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    pub(super) fn integer(self, name: &str) -> Option<i64> {
        self.get(name).and_then(integer)
    }

    /// Returns a boolean, which may be `0`, `1` or quoted; absent is `false`.
    pub(super) fn flag(self, name: &str) -> bool {
        match self.get(name) {
            Some(Value::Bool(flag)) => *flag,
            Some(Value::String(text)) if text.trim() == "true" => true,
            Some(value) => integer(value) == Some(1),
            None => false,
        }
    }

    pub(super) fn object(self, name: &str) -> Option<Fields<'a>> {
        self.get(name).and_then(Value::as_object).map(Fields)
    }

    /// Returns the objects of a list; one object without a list counts as a list of one, an absent list
    /// as empty.
    pub(super) fn list(self, name: &'static str) -> Result<Vec<Fields<'a>>, InvalidEvent> {
        let object = |value: &'a Value| value.as_object().map(Fields);
        match self.get(name) {
            None => Some(Vec::new()),
            Some(Value::Array(values)) => values.iter().map(object).collect(),
            Some(value) => object(value).map(|one| vec![one]),
        }
        .ok_or(InvalidEvent(name))
    }

    pub(super) fn require_text(self, name: &'static str) -> Result<String, InvalidEvent> {
        self.text(name).ok_or(InvalidEvent(name))
    }

    pub(super) fn require_integer(self, name: &'static str) -> Result<i64, InvalidEvent> {
        self.integer(name).ok_or(InvalidEvent(name))
    }

    pub(super) fn require_object(self, name: &'static str) -> Result<Fields<'a>, InvalidEvent> {
        self.object(name).ok_or(InvalidEvent(name))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn quirks_of_json_and_xml_are_read() {
        let value = json!({
            " OpenID": "oA", "Number": 7, "Quoted": " 7 ", "Empty": " ", "Null": null,
            "Yes": "1", "True": true, "Text": "true", "No": 0,
            "One": {"a": 1}, "Two": [{"a": 1}, {"a": 3}], "Mixed": [{"a": 1}, 2],
        });
        let fields = Fields(value.as_object().unwrap());
        assert_eq!(fields.text("OpenID").as_deref(), Some("oA"));
        assert_eq!(fields.text("Number").as_deref(), Some("7"));
        assert_eq!((fields.text("Empty"), fields.text("Null")), (None, None));
        assert_eq!(
            (fields.integer("Number"), fields.integer("Quoted")),
            (Some(7), Some(7))
        );
        assert!(fields.flag("Yes") && fields.flag("True") && fields.flag("Text"));
        assert!(!fields.flag("No") && !fields.flag("Absent"));
        let entries = |name| fields.list(name).map(|list| list.len());
        assert_eq!((entries("One"), entries("Two")), (Ok(1), Ok(2)));
        assert_eq!(entries("Absent"), Ok(0));
        for bad in ["Mixed", "Number", "Text"] {
            assert_eq!(entries(bad), Err(InvalidEvent(bad)));
        }
        assert_eq!(fields.require_text("Absent"), Err(InvalidEvent("Absent")));
    }
}
