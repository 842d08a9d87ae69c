//! Times as WeChat Pay writes and reads them: in Beijing, RFC 3339 with an offset.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::Offset;

/// The time of day and date in Beijing.
pub(crate) fn beijing(time: Timestamp) -> DateTime {
    Offset::constant(8).to_datetime(time)
}

/// `2026-01-01T08:30:00+08:00`.
pub(crate) fn rfc3339(time: Timestamp) -> String {
    beijing(time)
        .strftime("%Y-%m-%dT%H:%M:%S+08:00")
        .to_string()
}

/// `2026-01-01 08:30:00`.
pub(crate) fn in_bill(time: Timestamp) -> String {
    beijing(time).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// `20260101`.
pub(crate) fn compact_date(time: Timestamp) -> String {
    beijing(time).strftime("%Y%m%d").to_string()
}

/// `ddHHMMSS`.
pub(crate) fn day_and_time(time: Timestamp) -> String {
    beijing(time).strftime("%d%H%M%S").to_string()
}

/// Reads RFC 3339 with an offset, and nothing that is only like it.
pub(crate) fn parse(text: &str) -> Option<Timestamp> {
    let shape = |pattern: &str, part: &str| {
        part.len() == pattern.len()
            && part.bytes().zip(pattern.bytes()).all(|(byte, sign)| {
                if sign == b'0' {
                    byte.is_ascii_digit()
                } else {
                    byte == sign
                }
            })
    };
    let (time, offset) = text.split_at_checked("2026-01-01T08:30:00".len())?;
    let offset_is_one = offset == "Z" || shape("+00:00", offset) || shape("-00:00", offset);
    if !offset_is_one || !shape("0000-00-00T00:00:00", time) {
        return None;
    }
    text.parse().ok()
}

/// Reads `2026-01-01`.
pub(crate) fn parse_date(text: &str) -> Option<Date> {
    Date::strptime("%Y-%m-%d", text)
        .ok()
        .filter(|date| date.to_string() == text)
}
