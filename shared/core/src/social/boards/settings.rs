//! The settings of a board, as the configuration and `PUT /admin/boards/{board}` write them.

use std::time::Duration;

use avalon_config::text;
use serde::{Deserialize, Serialize};
use strum::{AsRefStr, EnumString, IntoStaticStr};

use super::prize::Prize;
use super::season::Season;

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
