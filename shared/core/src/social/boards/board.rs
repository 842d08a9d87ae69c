//! A board: its settings, checked and compiled.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::names::{BoardName, WindowKey};
use super::settings::{BoardSettings, Order, Runs};
use super::{prize, season};

/// Largest absolute value of a score: the integers that JSON's readers, and Redis, hold exactly.
pub const MAX_SCORE: i64 = (1 << 53) - 1;
/// Longest grace of runs that end after their window.
const MAX_GRACE: Duration = Duration::from_secs(24 * 3600);

/// A setting violates a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct InvalidSetting {
    /// The field, as JSON names it.
    pub field: &'static str,
    /// What is wrong.
    pub problem: &'static str,
}

pub(super) fn holds(
    rule: bool,
    field: &'static str,
    problem: &'static str,
) -> Result<(), InvalidSetting> {
    match rule {
        true => Ok(()),
        false => Err(InvalidSetting { field, problem }),
    }
}

/// A board with its settings. Cheap to share behind an `Arc`.
#[derive(Clone, Debug)]
pub struct Board {
    /// Its name.
    pub name: BoardName,
    /// Its settings.
    pub settings: BoardSettings,
    pub(super) zone: TimeZone,
    /// By time.
    pub(super) seasons: Vec<(WindowKey, Timestamp, Timestamp)>,
}

impl Board {
    /// Checks and compiles the settings.
    ///
    /// # Errors
    /// The first [`InvalidSetting`].
    pub fn new(name: BoardName, settings: BoardSettings) -> Result<Self, InvalidSetting> {
        let is_score = |bound: Option<i64>| bound.is_none_or(|it| it.abs() <= MAX_SCORE);
        let range = "must be an integer within 2^53 - 1 of 0";
        holds(is_score(settings.min), "min", range)?;
        holds(is_score(settings.max), "max", range)?;
        let bounds = settings.min.unwrap_or(-MAX_SCORE)..=settings.max.unwrap_or(MAX_SCORE);
        holds(!bounds.is_empty(), "max", "must not be less than min")?;
        let step = settings.max_step.is_none_or(|step| step > 0);
        holds(step, "maxStep", "must be at least 1")?;
        let rate = settings
            .max_rate
            .is_none_or(|it| it.is_finite() && it > 0.0);
        holds(rate, "maxRate", "must be greater than 0")?;
        let rated = settings.max_rate.is_none() || settings.runs == Runs::Required;
        holds(rated, "maxRate", "needs runs to be required")?;
        holds(settings.per_minute > 0, "perMinute", "must be at least 1")?;
        holds(
            settings.size.is_none_or(|it| it > 0),
            "size",
            "must be at least 1",
        )?;
        let key =
            |key: &String| (1..=128).contains(&key.len()) && !key.chars().any(char::is_control);
        let hosted = settings.hosted_key.as_ref().is_none_or(key);
        holds(hosted, "hostedKey", "must have 1 to 128 bytes")?;
        holds(settings.grace <= MAX_GRACE, "grace", "must be at most 24h")?;
        let zone = TimeZone::get(&settings.time_zone);
        let zone = zone.map_err(|_| InvalidSetting {
            field: "timeZone",
            problem: "is not the name of a time zone, such as Asia/Shanghai",
        })?;
        let seasons = season::compiled(&settings, &zone)?;
        prize::check(&settings)?;
        Ok(Self {
            name,
            settings,
            zone,
            seasons,
        })
    }

    /// The score as it is ordered: ascending order is the ranking.
    pub(super) fn descending(&self) -> bool {
        self.settings.order == Order::Desc
    }
}
