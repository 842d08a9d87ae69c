//! `risk`: what WeChat's word about a player's account leads to.

use std::time::Duration;

use avalon_wechat::RiskRank;
use serde::{Deserialize, Serialize};

use super::text;

/// `risk`: WeChat is asked how risky a player is before something of worth is sold. Off by default:
/// WeChat has to enable it for the account.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub struct RiskConfig {
    /// What becomes of orders of risky players.
    pub orders: RiskMode,
    /// Players of this rank or a higher one are risky: 0 (all of them) to 4.
    pub block_from_rank: RiskRank,
    /// What happens when WeChat does not tell a player's rank.
    pub when_unavailable: WhenUnavailable,
    /// How long a rank counts before WeChat is asked again.
    #[serde(with = "text::duration")]
    pub cache: Duration,
}

impl Default for RiskConfig {
    fn default() -> Self {
        Self {
            orders: RiskMode::Off,
            block_from_rank: RiskRank::HIGHEST,
            when_unavailable: WhenUnavailable::Allow,
            cache: Duration::from_secs(600),
        }
    }
}

/// What becomes of what risky players do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RiskMode {
    /// WeChat is not asked.
    Off,
    /// WeChat is asked, which is logged and counted and has no consequence.
    Observe,
    /// It is refused.
    Block,
}

/// What happens when WeChat does not tell a player's rank: it is down, or the player was not in the
/// game lately.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WhenUnavailable {
    /// As if there was no risk.
    Allow,
    /// As if there was.
    Deny,
}
