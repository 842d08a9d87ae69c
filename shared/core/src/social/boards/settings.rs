//! The settings of a board, as the configuration and `PUT /admin/boards/{board}` write them, and the board that
//! they compile to.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use avalon_config::text;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use strum::{AsRefStr, EnumString, IntoStaticStr};

use super::names::{BoardName, WindowKey};
use crate::social::rewards::RewardItem;

/// Largest absolute value of a score: the integers that JSON's readers, and Redis, hold exactly.
pub const MAX_SCORE: i64 = (1 << 53) - 1;
/// Maximum number of seasons of a board.
const MAX_SEASONS: usize = 200;
/// Maximum number of prizes of a board.
const MAX_PRIZES: usize = 50;
/// Longest grace of runs that end after their window.
const MAX_GRACE: Duration = Duration::from_secs(24 * 3600);

/// Which score ranks first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// The highest.
    #[default]
    Desc,
    /// The lowest.
    Asc,
}

/// What becomes of a player's earlier score of the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// It stays unless the new one ranks before it.
    #[default]
    Best,
    /// It is replaced.
    Last,
    /// The new one is added to it.
    Sum,
}

/// How long a score counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WindowKind {
    /// For ever.
    #[default]
    All,
    /// Until midnight.
    Day,
    /// Until Monday.
    Week,
    /// Until the first of the next month.
    Month,
    /// Until the end of the season.
    Season,
}

/// Who may report scores. The game server always may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Writer {
    /// Players.
    #[default]
    Client,
    /// Players, with signed requests.
    Signed,
    /// The game server only.
    Server,
}

/// Whether a score needs a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Runs {
    /// It may have one.
    #[default]
    Off,
    /// A player's does.
    Required,
}

/// Why a score is held. Its names are stored.
#[derive(AsRefStr, Clone, Copy, Debug, EnumString, IntoStaticStr, PartialEq, Eq)]
#[strum(serialize_all = "snake_case")]
pub enum HeldReason {
    /// Outside of `min` and `max`.
    Range,
    /// More than `maxStep` from the player's earlier score.
    Step,
    /// More than `maxRate` times the duration of its run.
    Rate,
    /// WeChat lists the player as a cheat, and the board holds their scores.
    Marked,
}

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

/// What players receive when a window ends. The first prize that fits a player is granted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Prize {
    /// First rank that receives it; 1 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<i64>,
    /// Last rank that receives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<i64>,
    /// Instead of `to`: this part of the ranked players, from the first, in percent; rounded up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<f64>,
    /// The items.
    pub items: Vec<RewardItem>,
}

impl Prize {
    /// The last rank that receives it, of this number of players.
    pub(super) fn last_rank(&self, players: i64) -> i64 {
        match self.percent {
            None => self.to.unwrap_or(i64::MAX).min(players),
            #[allow(
                clippy::cast_precision_loss,
                clippy::cast_possible_truncation,
                reason = "numbers of players are far below 2^52"
            )]
            Some(percent) => ((players as f64 * percent / 100.0).ceil() as i64).min(players),
        }
    }

    pub(super) fn includes(&self, rank: i64, players: i64) -> bool {
        rank >= self.from.unwrap_or(1) && rank <= self.last_rank(players)
    }
}

/// The settings of a board.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    default,
    rename_all = "camelCase",
    deny_unknown_fields,
    expecting = "the settings of a board"
)]
pub struct BoardSettings {
    /// Which score ranks first. Takes effect with the next window.
    pub order: Order,
    /// What becomes of a player's earlier score.
    pub keep: Keep,
    /// How long a score counts.
    pub window: WindowKind,
    /// The seasons, for `window = "season"`.
    pub seasons: Vec<Season>,
    /// Name of the IANA time zone of days, weeks, months and of seasons without an offset.
    #[serde(alias = "time_zone")]
    pub time_zone: String,
    /// Who may report scores.
    pub writer: Writer,
    /// Whether a score needs a run.
    pub runs: Runs,
    /// Highest plausible score per second of a run.
    #[serde(alias = "max_rate", skip_serializing_if = "Option::is_none")]
    pub max_rate: Option<f64>,
    /// Lowest plausible score.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<i64>,
    /// Highest plausible score.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<i64>,
    /// Largest plausible difference from the player's earlier score; with `keep = "sum"` the largest score.
    #[serde(alias = "max_step", skip_serializing_if = "Option::is_none")]
    pub max_step: Option<i64>,
    /// Maximum number of scores of a player per minute.
    #[serde(alias = "per_minute")]
    pub per_minute: u32,
    /// Number of places that others see and that archives have; none: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u32>,
    /// Key of WeChat's friends ranking to which improved scores are written.
    #[serde(alias = "hosted_key", skip_serializing_if = "Option::is_none")]
    pub hosted_key: Option<String>,
    /// Whether scores of players on WeChat's list of cheats are held, and their earlier ones hidden.
    #[serde(alias = "hold_marked")]
    pub hold_marked: bool,
    /// Time after the end of a window in which scores of its runs still count.
    #[serde(with = "text::duration")]
    pub grace: Duration,
    /// What players receive when a window ends.
    pub prizes: Vec<Prize>,
}

impl Default for BoardSettings {
    fn default() -> Self {
        Self {
            order: Order::default(),
            keep: Keep::default(),
            window: WindowKind::default(),
            seasons: Vec::new(),
            time_zone: "Asia/Shanghai".to_owned(),
            writer: Writer::default(),
            runs: Runs::default(),
            max_rate: None,
            min: None,
            max: None,
            max_step: None,
            per_minute: 60,
            size: None,
            hosted_key: None,
            hold_marked: false,
            grace: Duration::from_secs(600),
            prizes: Vec::new(),
        }
    }
}

/// A setting violates a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct InvalidSetting {
    /// The field, as JSON names it.
    pub field: &'static str,
    /// What is wrong.
    pub problem: &'static str,
}

fn holds(rule: bool, field: &'static str, problem: &'static str) -> Result<(), InvalidSetting> {
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
        let seasons = compiled_seasons(&settings, &zone)?;
        check_prizes(&settings)?;
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

fn compiled_seasons(
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

fn check_prizes(settings: &BoardSettings) -> Result<(), InvalidSetting> {
    let field = "prizes";
    holds(
        settings.prizes.len() <= MAX_PRIZES,
        field,
        "at most 50 are allowed",
    )?;
    let ends = settings.window != WindowKind::All || settings.prizes.is_empty();
    holds(ends, field, "need a window that ends")?;
    for prize in &settings.prizes {
        let first = prize.from.unwrap_or(1);
        holds(first >= 1, field, "ranks begin at 1")?;
        let last = match (prize.to, prize.percent) {
            (Some(to), None) => to >= first,
            (None, Some(percent)) => percent > 0.0 && percent <= 100.0,
            _ => false,
        };
        holds(
            last,
            field,
            "need either to, from `from` on, or percent, up to 100",
        )?;
        let items = !prize.items.is_empty() && prize.items.len() <= 20;
        holds(items, field, "need 1 to 20 items")?;
        let counted = prize.items.iter().all(|item| item.quantity > 0);
        holds(counted, field, "need quantities of at least 1")?;
    }
    Ok(())
}
