//! Settings of WeChat's platform: `wechat` (the mini-game), `risk` (risk ranks of players) and
//! `platform_stats` (WeChat's own figures).

use std::time::Duration;

use avalon_config::{HttpUrl, Violation, rule, text};
use avalon_wechat::{GameMetric, RiskRank};
use secrecy::SecretString;
use serde::{Deserialize, Serialize, Serializer};

use crate::platform::stats::Dataset;

/// `wechat`: the mini-game at WeChat's platform.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub struct WechatConfig {
    /// App id of the mini-game.
    pub app_id: Option<String>,
    /// App secret of the mini-game.
    #[serde(deserialize_with = "text::secret", serialize_with = "text::hidden")]
    pub app_secret: Option<SecretString>,
    /// Base URL of the platform's APIs.
    #[serde(deserialize_with = "text::parsed")]
    pub api_base: HttpUrl,
    /// Timeout of connecting.
    #[serde(with = "text::duration")]
    pub connect_timeout: Duration,
    /// Timeout of one call.
    #[serde(with = "text::duration")]
    pub request_timeout: Duration,
}

impl Default for WechatConfig {
    fn default() -> Self {
        Self {
            app_id: None,
            app_secret: None,
            api_base: HttpUrl::constant("https://api.weixin.qq.com"),
            connect_timeout: Duration::from_secs(2),
            request_timeout: Duration::from_secs(4),
        }
    }
}

impl WechatConfig {
    /// Checks the section's own rules.
    ///
    /// # Errors
    /// The first [`Violation`].
    pub fn check(&self) -> Result<(), Violation> {
        rule(
            self.connect_timeout > Duration::ZERO,
            "wechat.connect_timeout",
            "must be longer than 0s",
        )?;
        rule(
            self.request_timeout > Duration::ZERO,
            "wechat.request_timeout",
            "must be longer than 0s",
        )?;
        rule(
            self.app_id.as_deref() != Some(""),
            "wechat.app_id",
            "must not be empty",
        )
    }
}

/// `risk`: WeChat's risk rank of a player is queried before a sale or a reward. Off by default: WeChat has to enable
/// it for the account.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub struct RiskConfig {
    /// Handling of orders of risky players.
    pub orders: RiskMode,
    /// Handling of invitations of risky players: whether they are rewarded.
    pub invites: RiskMode,
    /// Players of this rank or a higher one are risky: 0 (everyone) to 4.
    pub block_from_rank: RiskRank,
    /// Handling of players whose rank WeChat does not return.
    pub when_unavailable: WhenUnavailable,
    /// Time for which a rank is cached.
    #[serde(with = "text::duration")]
    pub cache: Duration,
}

impl Default for RiskConfig {
    fn default() -> Self {
        Self {
            orders: RiskMode::Off,
            invites: RiskMode::Off,
            block_from_rank: RiskRank::HIGHEST,
            when_unavailable: WhenUnavailable::Allow,
            cache: Duration::from_secs(600),
        }
    }
}

/// Handling of risky players.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RiskMode {
    /// WeChat is not queried.
    Off,
    /// Ranks are logged and counted, without consequence.
    Observe,
    /// Their orders are rejected, their invitations not rewarded.
    Block,
}

/// Handling of players without a rank: WeChat is down, or the player was not in the game lately.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WhenUnavailable {
    /// Treated as not risky.
    Allow,
    /// Treated as risky.
    Deny,
}

/// `platform_stats`: the daily pull of WeChat's own analysis data. Off by default: not every account has
/// the permission.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub struct PlatformStatsConfig {
    /// On or off.
    pub enabled: bool,
    /// Metrics of the mini-game by their ids in WeChat's console, beside visits, shares and retention.
    #[serde(deserialize_with = "text::list", serialize_with = "serialize_metrics")]
    pub game_metrics: Vec<GameMetric>,
}

impl PlatformStatsConfig {
    /// Lists the datasets to pull each day; none when it is off.
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

fn serialize_metrics<S: Serializer>(
    metrics: &[GameMetric],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(metrics.iter().map(GameMetric::as_str))
}
