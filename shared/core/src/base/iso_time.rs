//! Times in JSON: ISO 8601 in UTC with exactly three digits of a second. Parsers differ in how they read
//! any other number of digits; Java's `SimpleDateFormat` reads nine of them as milliseconds.

use std::fmt;

use jiff::Timestamp;
use jiff::fmt::StdFmtWrite;
use jiff::fmt::temporal::DateTimePrinter;
use serde::{Serialize, Serializer};

const PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(3));

/// A time that is displayed and serialized as described above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IsoTime(pub Timestamp);

impl IsoTime {
    /// The time in Unix ms; `None`: out of range.
    pub fn from_millisecond(ms: i64) -> Option<Self> {
        Timestamp::from_millisecond(ms).ok().map(Self)
    }
}

impl From<Timestamp> for IsoTime {
    fn from(time: Timestamp) -> Self {
        Self(time)
    }
}

impl fmt::Display for IsoTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        PRINTER
            .print_timestamp(&self.0, StdFmtWrite(f))
            .map_err(|_| fmt::Error)
    }
}

impl Serialize for IsoTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// For `#[serde(serialize_with)]` of a field.
///
/// # Errors
/// Those of the serializer.
pub fn serialize<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    IsoTime(*time).serialize(serializer)
}

/// For `#[serde(serialize_with)]` of an optional field.
///
/// # Errors
/// Those of the serializer.
pub fn serialize_option<S: Serializer>(
    time: &Option<Timestamp>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    time.map(IsoTime).serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_always_have_three_fraction_digits() {
        for (time, expected) in [
            ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000Z"),
            ("2026-01-01T00:00:00.31Z", "2026-01-01T00:00:00.310Z"),
            ("2026-01-01T00:00:00.123456789Z", "2026-01-01T00:00:00.123Z"),
            ("2026-01-01T08:00:00+08:00", "2026-01-01T00:00:00.000Z"),
        ] {
            let time: Timestamp = time.parse().unwrap();
            assert_eq!(IsoTime(time).to_string(), expected);
            assert_eq!(serde_json::to_value(IsoTime(time)).unwrap(), expected);
        }
    }
}
