//! `platform_stats`: the daily pull of WeChat's own analysis data.

use avalon_wechat::GameMetric;
use serde::{Deserialize, Serialize, Serializer};

use super::text;
use crate::platform::stats::Dataset;

/// `platform_stats`: WeChat's figures of each day, kept beside our own. Off by default: not every
/// account may ask for them.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub struct PlatformStatsConfig {
    /// On or off.
    pub enabled: bool,
    /// Metrics of the mini-game by their ids in WeChat's console, beside visits, shares and retention.
    #[serde(deserialize_with = "text::list", serialize_with = "shown")]
    pub game_metrics: Vec<GameMetric>,
}

impl PlatformStatsConfig {
    /// What is pulled each day; nothing when it is off.
    pub fn datasets(&self) -> Vec<Dataset> {
        if !self.enabled {
            return Vec::new();
        }
        let metrics = self.game_metrics.iter().cloned().map(Dataset::Game);
        [Dataset::Summary, Dataset::Visits, Dataset::Retain]
            .into_iter()
            .chain(metrics)
            .collect()
    }
}

fn shown<S: Serializer>(metrics: &[GameMetric], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(metrics.iter().map(GameMetric::as_str))
}
