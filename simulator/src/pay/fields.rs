//! Strict parsing of JSON request bodies: no null, no unknown key, no character beyond the basic
//! plane, and every field of its type and within its length.

use std::ops::RangeInclusive;

use serde_json::{Map, Value, json};

use super::Pay;
use super::answer::PayError;

/// Maximum amount in fen: a hundred million yuan, far beyond any order and far from overflow.
pub(crate) const MAX_AMOUNT: i64 = 10_000_000_000;

/// Punctuation allowed in order numbers.
pub(crate) const ORDER_PUNCTUATION: &[u8] = b"_-|*";

/// Punctuation allowed in refund numbers.
pub(crate) const REFUND_PUNCTUATION: &[u8] = b"_-|*@";

/// Whether this is a merchant-assigned number of letters, digits and the characters of `punctuation`.
pub(crate) fn is_number(text: &str, length: RangeInclusive<usize>, punctuation: &[u8]) -> bool {
    length.contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || punctuation.contains(&byte))
}

/// Parses a body as JSON and rejects nulls and four-byte characters.
pub(crate) fn parse(body: &[u8]) -> Result<Value, PayError> {
    let value: Value = serde_json::from_slice(body)
        .map_err(|error| PayError::param(format!("请求体不是合法的JSON：{error}")))?;
    check(&value, "")?;
    Ok(value)
}

fn check(value: &Value, pointer: &str) -> Result<(), PayError> {
    match value {
        Value::Null => Err(invalid(pointer, value, "null is not allowed")),
        Value::String(text) if text.chars().any(|c| c > '\u{ffff}') => Err(invalid(
            pointer,
            value,
            "characters of more than three bytes are not allowed",
        )),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .try_for_each(|(index, item)| check(item, &format!("{pointer}/{index}"))),
        Value::Object(fields) => fields
            .iter()
            .try_for_each(|(name, field)| check(field, &format!("{pointer}/{name}"))),
        _ => Ok(()),
    }
}

fn invalid(pointer: &str, value: &Value, issue: &str) -> PayError {
    PayError::param(format!("输入源“/body{pointer}”规则校验失败：{issue}")).with_detail(json!({
        "field": pointer,
        "value": value,
        "issue": issue,
        "location": "body",
    }))
}

/// The fields of an object in the body.
pub(crate) struct Fields<'v> {
    fields: &'v Map<String, Value>,
    pointer: String,
}

impl<'v> Fields<'v> {
    /// Reads an object that has no keys other than `known`.
    pub(crate) fn of(value: &'v Value, known: &[&str]) -> Result<Self, PayError> {
        Self::at(value, String::new(), known)
    }

    fn at(value: &'v Value, pointer: String, known: &[&str]) -> Result<Self, PayError> {
        let fields = value
            .as_object()
            .ok_or_else(|| invalid(&pointer, value, "an object is expected"))?;
        let unknown = |name: &&String| !known.contains(&name.as_str());
        if let Some(name) = fields.keys().find(unknown) {
            let pointer = format!("{pointer}/{name}");
            return Err(invalid(&pointer, &fields[name], "illegal extra parameter")
                .with_number(270_924_358));
        }
        Ok(Self { fields, pointer })
    }

    fn pointer(&self, name: &str) -> String {
        format!("{}/{name}", self.pointer)
    }

    fn required(&self, name: &str) -> Result<&'v Value, PayError> {
        self.fields
            .get(name)
            .ok_or_else(|| invalid(&self.pointer(name), &Value::Null, "required"))
    }

    /// Returns the error for an invalid field.
    pub(crate) fn reject(&self, name: &str, issue: &str) -> PayError {
        let value = self.fields.get(name).unwrap_or(&Value::Null);
        invalid(&self.pointer(name), value, issue)
    }

    /// Returns the size of a field's compact JSON in bytes.
    pub(crate) fn size_of(&self, name: &str) -> usize {
        self.fields
            .get(name)
            .map_or(0, |value| value.to_string().len())
    }

    pub(crate) fn value(&self, name: &str) -> Option<&'v Value> {
        self.fields.get(name)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.fields.contains_key(name)
    }

    /// Returns a required, non-empty string.
    pub(crate) fn text(&self, name: &str, max: usize) -> Result<&'v str, PayError> {
        self.required(name)?;
        self.optional_text(name, max)?
            .filter(|text| !text.is_empty())
            .ok_or_else(|| self.reject(name, "empty"))
    }

    pub(crate) fn optional_text(
        &self,
        name: &str,
        max: usize,
    ) -> Result<Option<&'v str>, PayError> {
        let Some(value) = self.fields.get(name) else {
            return Ok(None);
        };
        let text = value
            .as_str()
            .ok_or_else(|| self.reject(name, "a string is expected"))?;
        if text.chars().count() > max {
            return Err(self.reject(name, &format!("at most {max} characters")));
        }
        Ok(Some(text))
    }

    /// Returns a merchant-assigned number of letters, digits and the characters of `punctuation`.
    pub(crate) fn number(
        &self,
        name: &str,
        length: RangeInclusive<usize>,
        punctuation: &[u8],
    ) -> Result<&'v str, PayError> {
        let text = self.text(name, *length.end())?;
        if !is_number(text, length, punctuation) {
            return Err(self.reject(name, "too short, or characters that are not allowed"));
        }
        Ok(text)
    }

    pub(crate) fn amount(&self, name: &str, min: i64) -> Result<i64, PayError> {
        self.required(name)?
            .as_i64()
            .filter(|amount| (min..=MAX_AMOUNT).contains(amount))
            .ok_or_else(|| self.reject(name, "an integer within the limits is expected"))
    }

    pub(crate) fn optional_amount(&self, name: &str, min: i64) -> Result<(), PayError> {
        if self.has(name) {
            self.amount(name, min)?;
        }
        Ok(())
    }

    pub(crate) fn optional_bool(&self, name: &str) -> Result<(), PayError> {
        match self.fields.get(name) {
            Some(value) if !value.is_boolean() => Err(self.reject(name, "a boolean is expected")),
            _ => Ok(()),
        }
    }

    pub(crate) fn object(&self, name: &str, known: &[&str]) -> Result<Fields<'v>, PayError> {
        Self::at(self.required(name)?, self.pointer(name), known)
    }

    pub(crate) fn optional_object(
        &self,
        name: &str,
        known: &[&str],
    ) -> Result<Option<Fields<'v>>, PayError> {
        self.has(name).then(|| self.object(name, known)).transpose()
    }

    /// Returns the objects of an optional array, which must not be empty.
    pub(crate) fn objects(&self, name: &str, known: &[&str]) -> Result<Vec<Fields<'v>>, PayError> {
        let Some(value) = self.fields.get(name) else {
            return Ok(Vec::new());
        };
        let items = value
            .as_array()
            .filter(|items| !items.is_empty())
            .ok_or_else(|| self.reject(name, "an array with at least one item is expected"))?;
        items
            .iter()
            .enumerate()
            .map(|(index, item)| Self::at(item, format!("{}/{index}", self.pointer(name)), known))
            .collect()
    }

    /// Checks `mchid`, which must equal the one of the `Authorization` header.
    pub(crate) fn check_mch_id(&self, pay: &Pay) -> Result<(), PayError> {
        if self.text("mchid", 32)? == pay.mch_id {
            return Ok(());
        }
        Err(PayError::param(
            "http header中的mchid与post payload中的mchid不匹配",
        ))
    }

    /// Checks that `currency` is CNY, the only supported one.
    pub(crate) fn check_currency(&self) -> Result<(), PayError> {
        match self.text("currency", 16)? {
            "CNY" => Ok(()),
            _ => Err(self.reject("currency", "only CNY is supported")),
        }
    }
}
