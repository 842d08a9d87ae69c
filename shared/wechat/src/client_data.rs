//! What WeChat gives a client to pass on to its server, once it is believed: fields with a name each, of
//! which none need be there. How it is believed stands in `encrypted_data` and `raw_data`.

use serde_json::{Map, Value};

/// Why data that a client passed on are not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DataError {
    /// The key does not open or sign them: it is stale, or they were changed. CBC has no seal of its own,
    /// so a wrong key, bad padding, broken UTF-8 and broken JSON are this one outcome, and must look
    /// alike to whoever sent them. Another key may do better; else only a new sign-in helps.
    #[error("the session key does not fit the data")]
    KeyDoesNotFit,
    /// The watermark is missing or not of its form, so that nobody knows for whom the data are.
    #[error("the data have no watermark")]
    NoWatermark,
    /// The watermark names another app.
    #[error("the data were made for another app")]
    OtherApp,
    /// The watermark's time is too far from ours.
    #[error("the data were made {0} s away from our time")]
    Stale(u64),
    /// A field is of another kind than it should be; its name.
    #[error("{0}: the field has a value of the wrong kind")]
    Field(&'static str),
}

/// A JSON object that WeChat wrote for this player.
#[derive(Clone, PartialEq)]
pub(crate) struct Fields(Map<String, Value>);

impl Fields {
    /// Reads an object; nothing else is one.
    pub(crate) fn parse(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok().map(Self)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// A text that may be absent.
    pub(crate) fn text(&self, name: &'static str) -> Result<Option<String>, DataError> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(DataError::Field(name)),
        }
    }

    /// An id: a text that is not there when it is empty.
    pub(crate) fn id(&self, name: &'static str) -> Result<Option<String>, DataError> {
        Ok(self.text(name)?.filter(|id| !id.is_empty()))
    }

    /// A whole number that matters little, also in quotes; what is none of either is as good as absent.
    pub(crate) fn integer(&self, name: &'static str) -> Option<i64> {
        let value = self.get(name)?;
        value.as_i64().or_else(|| value.as_str()?.parse().ok())
    }
}
