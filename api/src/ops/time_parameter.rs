//! Times in query strings of operators.

use jiff::Timestamp;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// A time in ISO 8601 or Unix ms.
#[derive(Clone, Copy, Debug)]
pub(super) struct TimeParameter(pub(super) Timestamp);

impl<'de> Deserialize<'de> for TimeParameter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let time = match text.parse::<i64>() {
            Ok(ms) => Timestamp::from_millisecond(ms),
            Err(_) => text.parse(),
        };
        time.map(Self)
            .map_err(|_| D::Error::custom("must be ISO 8601 with an offset, or Unix ms"))
    }
}
