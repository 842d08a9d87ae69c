//! `limits`: rate limits.

use serde::{Deserialize, Serialize};

use super::{Role, text};
use crate::limits::Rate;

/// `limits`: rate limits. A rate is a number in a time, such as `300/1m`: so many at once at most,
/// and then at an even pace.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub struct LimitsConfig {
    /// On or off. See [`LimitsConfig::enabled`] for the default.
    pub enabled: Option<bool>,
    /// All requests from one address. Many players may share one.
    #[serde(deserialize_with = "text::parsed")]
    pub per_address: Rate,
    /// All requests of one player.
    #[serde(deserialize_with = "text::parsed")]
    pub per_player: Rate,
    /// Requests of one player to one route.
    #[serde(deserialize_with = "text::parsed")]
    pub per_route: Rate,
    /// Sign-ins and refreshes from one address.
    #[serde(deserialize_with = "text::parsed")]
    pub sign_in_per_address: Rate,
    /// Sign-ins on one device.
    #[serde(deserialize_with = "text::parsed")]
    pub sign_in_per_device: Rate,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            enabled: None,
            per_address: Rate::per_minute(3000),
            per_player: Rate::per_minute(300),
            per_route: Rate::per_minute(120),
            sign_in_per_address: Rate::per_minute(300),
            sign_in_per_device: Rate::per_minute(20),
        }
    }
}

impl LimitsConfig {
    /// Whether rates are limited: as configured, else everywhere but in `dev`.
    pub fn enabled(&self, role: Role) -> bool {
        self.enabled.unwrap_or(role != Role::Dev)
    }
}
