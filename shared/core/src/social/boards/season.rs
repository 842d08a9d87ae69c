//! Seasons: windows with dates that an operator chooses.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use avalon_config::text;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::board::{InvalidSetting, holds};
use super::names::WindowKey;
use super::settings::{BoardSettings, WindowKind};

/// Maximum number of seasons of a board.
const MAX_SEASONS: usize = 200;

/// A moment of a season: with an offset, or in the board's time zone. A date is its first instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeasonTime {
    /// `2026-12-01T00:00:00+08:00`.
    Instant(Timestamp),
    /// `2026-12-01` or `2026-12-01T20:00`.
    Local(DateTime),
}

impl SeasonTime {
    fn resolve(self, zone: &TimeZone) -> Option<Timestamp> {
        match self {
            Self::Instant(at) => Some(at),
            Self::Local(at) => zone.to_timestamp(at).ok(),
        }
    }
}

impl FromStr for SeasonTime {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(at) = text.parse() {
            return Ok(Self::Instant(at));
        }
        let local = text.parse().map(Self::Local);
        local.map_err(|_| "must be a date, or a time in ISO 8601")
    }
}

impl fmt::Display for SeasonTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Instant(at) => at.fmt(f),
            Self::Local(at) => at.fmt(f),
        }
    }
}

/// A season.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Season {
    /// Names its window.
    pub name: WindowKey,
    /// Its first moment.
    #[serde(deserialize_with = "text::parsed", serialize_with = "as_text")]
    pub from: SeasonTime,
    /// The first moment after it.
    #[serde(deserialize_with = "text::parsed", serialize_with = "as_text")]
    pub to: SeasonTime,
}

fn as_text<S: serde::Serializer>(value: &impl fmt::Display, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(value)
}

/// Checks the seasons of a board, and returns them by time.
pub(super) fn compiled(
    settings: &BoardSettings,
    zone: &TimeZone,
) -> Result<Vec<(WindowKey, Timestamp, Timestamp)>, InvalidSetting> {
    let field = "seasons";
    holds(
        settings.seasons.len() <= MAX_SEASONS,
        field,
        "at most 200 are allowed",
    )?;
    let needed = settings.window == WindowKind::Season || settings.seasons.is_empty();
    holds(needed, field, "need window to be season")?;
    let mut seasons = Vec::with_capacity(settings.seasons.len());
    for season in &settings.seasons {
        let times = season.from.resolve(zone).zip(season.to.resolve(zone));
        let (from, to) = times.ok_or(InvalidSetting {
            field,
            problem: "a time is out of range",
        })?;
        holds(from < to, field, "a season must begin before it ends")?;
        seasons.push((season.name.clone(), from, to));
    }
    seasons.sort_by_key(|(_, from, _)| *from);
    let apart = seasons.windows(2).all(|pair| pair[0].2 <= pair[1].1);
    holds(apart, field, "must not overlap")?;
    let names: BTreeSet<_> = seasons.iter().map(|(name, ..)| name).collect();
    holds(
        names.len() == seasons.len(),
        field,
        "must have distinct names",
    )?;
    Ok(seasons)
}
