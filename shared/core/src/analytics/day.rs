//! Days by Beijing time, which has no daylight saving. Counted from 1970-01-01, so that SQL can compare
//! and subtract them.

use std::fmt;

use jiff::civil::{Date, date};
use jiff::{Timestamp, ToSpan};
use serde::{Serialize, Serializer};

const DAY_MS: i64 = 24 * 3600 * 1000;
const BEIJING_MS: i64 = 8 * 3600 * 1000;
const EPOCH: Date = date(1970, 1, 1);

/// A day by Beijing time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(i64);

impl Day {
    /// Returns the day of a time in Unix ms.
    pub const fn of_ms(at: i64) -> Self {
        Self(at.saturating_add(BEIJING_MS).div_euclid(DAY_MS))
    }

    /// Returns the day of a time.
    pub fn of(at: Timestamp) -> Self {
        Self::of_ms(at.as_millisecond())
    }

    /// Returns the day with this number.
    pub const fn from_number(number: i64) -> Self {
        Self(number)
    }

    /// The number of days since 1970-01-01.
    pub const fn number(self) -> i64 {
        self.0
    }

    /// Returns the day `days` later, or earlier if negative.
    #[must_use]
    pub const fn plus(self, days: i64) -> Self {
        Self(self.0.saturating_add(days))
    }

    /// Returns the day of a calendar date.
    pub fn of_date(date: Date) -> Self {
        let days = EPOCH.until(date).map(|span| span.get_days());
        // From one date to another, the span is of days alone.
        Self(days.map_or(0, i64::from))
    }

    /// The calendar date; the maximum for days beyond it.
    pub fn date(self) -> Date {
        let days = self.0.clamp(-4_000_000, 2_900_000);
        EPOCH.checked_add(days.days()).unwrap_or(Date::MAX)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.date().fmt(f)
    }
}

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_begin_at_midnight_in_beijing() {
        let day = |text: &str| Day::of(text.parse().unwrap());
        assert_eq!(day("2026-01-01T15:59:59.999Z").to_string(), "2026-01-01");
        assert_eq!(day("2026-01-01T16:00:00Z").to_string(), "2026-01-02");
        assert_eq!(day("1969-12-31T16:00:00Z").number(), 0);
        assert_eq!(day("1969-12-31T15:59:59Z").to_string(), "1969-12-31");
        let first = Day::of_date(date(2026, 1, 2));
        assert_eq!(first, day("2026-01-01T16:00:00Z"));
        assert_eq!(Day::of_date(date(1969, 12, 31)).number(), -1);
    }
}
