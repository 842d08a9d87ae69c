//! Settings of rate limits and of the budgets for events.

use std::time::Duration;

use avalon_config::{Mode, Violation, rule, text};
use avalon_core::analytics::incoming::MAX_EVENTS;
use serde::{Deserialize, Serialize};

use crate::middleware::limits::Rate;
use crate::routes::analytics::envelope::MAX_REPORT_BYTES;

/// `limits`: rate limits. A rate such as `300/1m` is a burst of 300 and then an even pace of 300 per
/// minute. Units are requests unless the key names another.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub struct LimitsConfig {
    /// On or off. See [`LimitsConfig::enabled`] for the default.
    pub enabled: Option<bool>,
    /// All requests from one address, which many players may share.
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
    /// Events that one player reports.
    #[serde(deserialize_with = "text::parsed")]
    pub events_per_player: Rate,
    /// Bytes of one player's reports, decompressed.
    #[serde(deserialize_with = "text::parsed")]
    pub event_bytes_per_player: Rate,
    /// Bytes of one player's accepted events as they are stored: what one player can fill the queue with
    /// while a store of events is down, and the database otherwise.
    #[serde(deserialize_with = "text::parsed")]
    pub stored_event_bytes_per_player: Rate,
    /// Payment callbacks from one address whose signing key is unknown on receipt.
    #[serde(deserialize_with = "text::parsed")]
    pub unverified_callbacks_per_address: Rate,
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
            events_per_player: Rate::per(5000, Duration::from_secs(600)),
            event_bytes_per_player: Rate::per(4 * 1024 * 1024, Duration::from_secs(600)),
            stored_event_bytes_per_player: Rate::per(
                8 * 1024 * 1024,
                Duration::from_secs(24 * 3600),
            ),
            unverified_callbacks_per_address: Rate::per_minute(20),
        }
    }
}

impl LimitsConfig {
    /// Whether rates are limited: as configured, else everywhere but in `dev`.
    pub fn enabled(&self, mode: impl Into<Mode>) -> bool {
        self.enabled.unwrap_or(mode.into() != Mode::Development)
    }

    /// Checks the section's own rules: a report of the maximum size passes a fresh budget. One that never
    /// passes would be repeated for ever.
    ///
    /// # Errors
    /// The first [`Violation`].
    pub fn check(&self) -> Result<(), Violation> {
        rule(
            self.events_per_player.quota.get() as usize >= MAX_EVENTS,
            "limits.events_per_player",
            "must allow the 500 events of one report",
        )?;
        rule(
            self.event_bytes_per_player.quota.get() as usize >= MAX_REPORT_BYTES,
            "limits.event_bytes_per_player",
            "must allow the 1048576 bytes of one report",
        )?;
        rule(
            self.stored_event_bytes_per_player.quota.get() as usize >= 2 * MAX_REPORT_BYTES,
            "limits.stored_event_bytes_per_player",
            "must allow 2097152 bytes, which one report can take up",
        )
    }
}
