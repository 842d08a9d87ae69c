//! Daily analysis figures: deterministic for a name, a day and a revision; their availability; and
//! the parsing of the requested day.

use aws_lc_rs::digest::{SHA256, digest};
use jiff::ToSpan;
use jiff::civil::{Date, DateTime};
use jiff::tz::Offset;
use serde::{Deserialize, Serialize};

use super::ingress::Call;
use crate::wire::errcode;

/// The settings that `PUT /_sim/analysis` changes.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Analysis {
    /// Hour of the next day, Beijing time, from which figures are available; 0 to 24.
    pub(crate) ready_hour: i8,
    /// The answer before figures are available.
    pub(crate) unready: Unready,
    /// Days, as `2026-01-10`, that never have figures.
    missing_days: Vec<Date>,
    /// Seed of the figures; changing it simulates WeChat's later corrections.
    revision: u32,
}

/// The answer before figures are available.
#[derive(Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Unready {
    /// A success without figures.
    #[default]
    Empty,
    /// 61503.
    Error,
}

impl Default for Analysis {
    fn default() -> Self {
        Self {
            ready_hour: 8,
            unready: Unready::Empty,
            missing_days: Vec::new(),
            revision: 0,
        }
    }
}

impl Analysis {
    /// Whether the figures of this day are available; 61503 if not and `unready` is `error`.
    pub(crate) fn is_ready(&self, day: Date, now: DateTime) -> Result<bool, i64> {
        let ready = day
            .tomorrow()
            .map(|next| next.at(0, 0, 0, 0).saturating_add(self.ready_hour.hours()))
            .is_ok_and(|ready| ready <= now)
            && !self.missing_days.contains(&day);
        if !ready && self.unready == Unready::Error {
            return Err(errcode::DATA_NOT_READY);
        }
        Ok(ready)
    }

    /// Returns a figure of a day, from `min` to twice that.
    pub(crate) fn figure(&self, name: &str, day: Date, min: i64) -> i64 {
        let seed = format!("{name}:{day}:{}", self.revision);
        let hash = digest(&SHA256, seed.as_bytes());
        let mut number = [0; 8];
        number[4..].copy_from_slice(&hash.as_ref()[..4]);
        min + i64::from_be_bytes(number) % (min + 1)
    }
}

/// Returns the time of the call in Beijing.
pub(crate) fn beijing(call: &Call<'_>) -> DateTime {
    Offset::constant(8).to_datetime(call.now)
}

/// Returns the single requested day, which must be before today.
pub(crate) fn one_day(call: &Call<'_>) -> Result<Date, i64> {
    let date = |name| -> Result<Date, i64> {
        let text = call.body.text(name)?.ok_or(errcode::DATE_FORMAT)?;
        Date::strptime("%Y%m%d", text)
            .ok()
            .filter(|date| compact(*date) == text)
            .ok_or(errcode::DATE_FORMAT)
    };
    let (begin, end) = (date("begin_date")?, date("end_date")?);
    if begin != end || begin >= beijing(call).date() {
        return Err(errcode::DATE_RANGE);
    }
    Ok(begin)
}

/// Formats a day as `20260110`.
pub(crate) fn compact(day: Date) -> String {
    day.strftime("%Y%m%d").to_string()
}
