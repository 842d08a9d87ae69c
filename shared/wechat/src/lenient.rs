//! Fields of JSON answers in which WeChat is inconsistent.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// Reads a boolean that may be `0` or `1`, also quoted; anything else counts as absent.
pub(crate) fn flag<'de, D: Deserializer<'de>>(value: D) -> Result<Option<bool>, D::Error> {
    Ok(match Value::deserialize(value)? {
        Value::Bool(flag) => Some(flag),
        other => integer(&other).and_then(|number| match number {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }),
    })
}

/// Returns an integer, which may be quoted.
pub(crate) fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}
