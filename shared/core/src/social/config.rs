//! `social`: leaderboards, shares, invitations and messages. Each part has a file of its own beside its rules;
//! here they become one section.

use std::time::Duration;

use avalon_config::{Violation, rule, text};
use serde::{Deserialize, Serialize};

use super::boards::config::BoardsConfig;

/// `social`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub struct SocialConfig {
    /// Time in which a run must end.
    #[serde(with = "text::duration")]
    pub run_ttl: Duration,
    /// Leaderboards by name, unless an operator has changed them.
    pub boards: BoardsConfig,
}

impl Default for SocialConfig {
    fn default() -> Self {
        Self {
            run_ttl: Duration::from_secs(3600),
            boards: BoardsConfig::default(),
        }
    }
}

impl SocialConfig {
    /// Checks the section's own rules.
    ///
    /// # Errors
    /// The first [`Violation`].
    pub fn check(&self) -> Result<(), Violation> {
        let longest = Duration::from_secs(24 * 3600);
        rule(
            (Duration::from_secs(1)..=longest).contains(&self.run_ttl),
            "social.run_ttl",
            "must be between 1s and 24h",
        )?;
        self.boards.check()
    }
}
