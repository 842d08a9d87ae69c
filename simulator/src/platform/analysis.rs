//! The figures of days: deterministic for a name, a day and a revision; when they are there; and how
//! a request names its day.

use aws_lc_rs::digest::{SHA256, digest};
use jiff::ToSpan;
use jiff::civil::{Date, DateTime};
use jiff::tz::Offset;
use serde::{Deserialize, Serialize};

use super::door::Call;
use crate::wire::errcode;

/// What `PUT /_sim/analysis` changes.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Analysis {
    /// The hour of the next day, Beijing time, from which on figures are there; 0 to 24.
    pub(crate) ready_hour: i8,
    /// What is answered before.
    pub(crate) unready: Unready,
    /// Days, as `2026-01-10`, without figures whatever the hour.
    missing_days: Vec<Date>,
    /// Another one makes other figures, as WeChat's corrections do.
    revision: u32,
}

/// What is answered before figures are there.
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
    /// Whether the figures of this day are there; 61503 when they are not and that is to be said.
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

    /// A figure of a day, from `least` to twice that.
    pub(crate) fn figure(&self, name: &str, day: Date, least: i64) -> i64 {
        let seed = format!("{name}:{day}:{}", self.revision);
        let hash = digest(&SHA256, seed.as_bytes());
        let mut number = [0; 8];
        number[4..].copy_from_slice(&hash.as_ref()[..4]);
        least + i64::from_be_bytes(number) % (least + 1)
    }
}

/// The time at Beijing.
pub(crate) fn beijing(call: &Call<'_>) -> DateTime {
    Offset::constant(8).to_datetime(call.now)
}

/// The one day that a request is about, yesterday at the latest.
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

/// `20260110`.
pub(crate) fn compact(day: Date) -> String {
    day.strftime("%Y%m%d").to_string()
}
