//! Formatting and parsing of times as WeChat Pay does: in Beijing time, RFC 3339 with an offset.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::Offset;

/// Returns the date and time in Beijing.
pub(crate) fn beijing(time: Timestamp) -> DateTime {
    Offset::constant(8).to_datetime(time)
}

/// Formats a time as `2026-01-01T08:30:00+08:00`.
pub(crate) fn rfc3339(time: Timestamp) -> String {
    beijing(time)
        .strftime("%Y-%m-%dT%H:%M:%S+08:00")
        .to_string()
}

/// Formats a time as `2026-01-01 08:30:00`, as bills do.
pub(crate) fn bill_time(time: Timestamp) -> String {
    beijing(time).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// Formats a date as `20260101`.
pub(crate) fn compact_date(time: Timestamp) -> String {
    beijing(time).strftime("%Y%m%d").to_string()
}

/// Formats a time as `ddHHMMSS`.
pub(crate) fn day_and_time(time: Timestamp) -> String {
    beijing(time).strftime("%d%H%M%S").to_string()
}

/// Parses RFC 3339 with an offset; rejects the laxer forms that jiff accepts.
pub(crate) fn parse(text: &str) -> Option<Timestamp> {
    let matches = |pattern: &str, part: &str| {
        part.len() == pattern.len()
            && part.bytes().zip(pattern.bytes()).all(|(byte, expected)| {
                if expected == b'0' {
                    byte.is_ascii_digit()
                } else {
                    byte == expected
                }
            })
    };
    let (time, offset) = text.split_at_checked("2026-01-01T08:30:00".len())?;
    let offset_is_valid = offset == "Z" || matches("+00:00", offset) || matches("-00:00", offset);
    if !offset_is_valid || !matches("0000-00-00T00:00:00", time) {
        return None;
    }
    text.parse().ok()
}

/// Parses `2026-01-01`.
pub(crate) fn parse_date(text: &str) -> Option<Date> {
    Date::strptime("%Y-%m-%d", text)
        .ok()
        .filter(|date| date.to_string() == text)
}
