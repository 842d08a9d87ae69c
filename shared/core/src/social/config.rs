//! `social`: leaderboards, shares, invitations and messages. Each part has a file of its own beside its rules;
//! here they become one section.

use std::time::Duration;

use avalon_config::{Violation, rule, text};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::boards::config::BoardsConfig;
use super::invites::config::InvitesConfig;
use super::messages::config::{MessagesConfig, Template};
use super::shares::config::ShareScenes;

/// `social`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub struct SocialConfig {
    /// Time in which a run must end.
    #[serde(with = "text::duration")]
    pub run_ttl: Duration,
    /// Leaderboards by name, unless an operator has changed them.
    #[serde(deserialize_with = "structured")]
    pub boards: BoardsConfig,
    /// Time for which a share's id is valid.
    #[serde(with = "text::duration")]
    pub share_ttl: Duration,
    /// Scenes of shares, by name.
    #[serde(deserialize_with = "structured")]
    pub shares: ShareScenes,
    /// What invitations are worth.
    #[serde(deserialize_with = "structured")]
    pub invites: InvitesConfig,
    /// Templates of subscribe messages.
    #[serde(deserialize_with = "structured")]
    pub templates: Vec<Template>,
    /// Rules of subscribe messages.
    pub messages: MessagesConfig,
}

impl Default for SocialConfig {
    fn default() -> Self {
        Self {
            run_ttl: Duration::from_secs(3600),
            boards: BoardsConfig::default(),
            share_ttl: Duration::from_secs(30 * 24 * 3600),
            shares: ShareScenes::default(),
            invites: InvitesConfig::default(),
            templates: Vec::new(),
            messages: MessagesConfig::default(),
        }
    }
}

/// A longer run would let its score count in a window that ended a day ago.
const MAX_RUN_TTL: Duration = Duration::from_secs(24 * 3600);
/// A share's row is stored this long, and its id must not outlive it.
const MAX_SHARE_TTL: Duration = Duration::from_secs(366 * 24 * 3600);

impl SocialConfig {
    /// Checks the section's own rules.
    ///
    /// # Errors
    /// The first [`Violation`].
    pub fn check(&self) -> Result<(), Violation> {
        rule(
            (Duration::from_secs(1)..=MAX_RUN_TTL).contains(&self.run_ttl),
            "social.run_ttl",
            "must be between 1s and 24h",
        )?;
        self.boards.check()?;
        rule(
            self.share_ttl > Duration::ZERO && self.share_ttl <= MAX_SHARE_TTL,
            "social.share_ttl",
            "must be longer than 0s and at most 366d",
        )?;
        self.invites.check()?;
        self.messages.check(&self.templates)
    }
}

/// Reads a table or a list or, as in a variable, its JSON.
pub(super) fn structured<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    deserializer: D,
) -> Result<T, D::Error> {
    let value = match Value::deserialize(deserializer)? {
        Value::String(json) => serde_json::from_str(&json).map_err(D::Error::custom)?,
        value => value,
    };
    serde_json::from_value(value).map_err(D::Error::custom)
}
