//! Calendar days of the analysis APIs, in Beijing time.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::Offset;
use serde_json::{Value, json};

/// Formats a day as `20260110`.
pub(crate) fn compact(day: Date) -> String {
    day.strftime("%Y%m%d").to_string()
}

/// Builds the request body for a single day.
pub(crate) fn one_day(day: Date) -> Value {
    let day = compact(day);
    json!({ "begin_date": day, "end_date": day })
}

/// Returns the start of the day; `None` when it is out of range.
pub(crate) fn start(day: Date) -> Option<Timestamp> {
    let midnight = day.at(0, 0, 0, 0);
    Offset::constant(8).to_timestamp(midnight).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn day_starts_at_midnight_in_beijing() {
        let day = jiff::civil::date(2026, 1, 10);
        assert_eq!(compact(day), "20260110");
        assert_eq!(
            start(day).unwrap(),
            "2026-01-09T16:00:00Z".parse::<Timestamp>().unwrap()
        );
    }
}
