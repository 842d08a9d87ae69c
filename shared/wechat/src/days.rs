//! Days as the analysis APIs count them: in Beijing time.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::Offset;
use serde_json::{Value, json};

/// `20260110`.
pub(crate) fn compact(day: Date) -> String {
    day.strftime("%Y%m%d").to_string()
}

/// The body of a request about one day.
pub(crate) fn one_day(day: Date) -> Value {
    let day = compact(day);
    json!({ "begin_date": day, "end_date": day })
}

/// When the day begins; none for a day at the end of time.
pub(crate) fn start(day: Date) -> Option<Timestamp> {
    let midnight = day.at(0, 0, 0, 0);
    Offset::constant(8).to_timestamp(midnight).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_at_midnight_in_beijing() {
        let day = jiff::civil::date(2026, 1, 10);
        assert_eq!(compact(day), "20260110");
        assert_eq!(
            start(day).unwrap(),
            "2026-01-09T16:00:00Z".parse::<Timestamp>().unwrap()
        );
    }
}
