//! Authenticated data that WeChat hands to a game client for its server: named fields, all optional.
//! Authentication itself is in `encrypted_data` and `raw_data`.

mod lenient;

use serde_json::{Map, Value};

/// Reason why data forwarded by a client are rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DataError {
    /// The key does not decrypt or sign them: it is stale, or they were modified. CBC is not
    /// authenticated, so a wrong key, bad padding, broken UTF-8 and broken JSON must all be
    /// indistinguishable to the sender. Another key may match; otherwise a new sign-in is needed.
    #[error("the session key does not match the data")]
    KeyMismatch,
    /// The watermark is missing or malformed, so the intended app is unknown.
    #[error("the data have no valid watermark")]
    MissingWatermark,
    /// The watermark names another app.
    #[error("the data belong to another app")]
    AppMismatch,
    /// The watermark's time differs from ours by too many seconds.
    #[error("the data's timestamp differs from the server's by {0} s")]
    Stale(u64),
    /// The named field has a value that cannot be read, or of the wrong type.
    #[error("{0}: the field has a value of the wrong type")]
    Field(&'static str),
}

/// A JSON object that WeChat wrote for this player.
#[derive(Clone, PartialEq)]
pub(crate) struct Fields {
    values: Map<String, Value>,
    /// Names of fields whose values are not JSON.
    unreadable: Vec<String>,
}

impl Fields {
    /// Parses a JSON object; `None` for anything else. WeChat does not always escape what a player wrote: a
    /// value that is not JSON costs its field, not the object.
    pub(crate) fn parse(json: &[u8]) -> Option<Self> {
        let strict = serde_json::from_slice(json).map(|values| (values, Vec::new()));
        let (values, unreadable) = strict.ok().or_else(|| lenient::object(json))?;
        Some(Self { values, unreadable })
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name).filter(|value| !value.is_null())
    }

    /// Whether strict readers accept the object.
    pub(crate) fn is_strict(&self) -> bool {
        self.unreadable.is_empty()
    }

    /// Whether the field is there but cannot be read.
    pub(crate) fn is_unreadable(&self, name: &str) -> bool {
        self.unreadable.iter().any(|unreadable| unreadable == name)
    }

    /// Returns a string field, or `None` if it is absent.
    pub(crate) fn text(&self, name: &'static str) -> Result<Option<String>, DataError> {
        match self.get(name) {
            None if self.is_unreadable(name) => Err(DataError::Field(name)),
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(DataError::Field(name)),
        }
    }

    /// Returns an id; an empty string counts as absent.
    pub(crate) fn id(&self, name: &'static str) -> Result<Option<String>, DataError> {
        Ok(self.text(name)?.filter(|id| !id.is_empty()))
    }

    /// Returns an optional integer, which may be quoted; anything else counts as absent.
    pub(crate) fn integer(&self, name: &'static str) -> Option<i64> {
        let value = self.get(name)?;
        value.as_i64().or_else(|| value.as_str()?.parse().ok())
    }
}
