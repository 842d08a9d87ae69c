//! `social`: leaderboards, shares, invitations and messages. Each part has a file of its own beside its rules;
//! here they become one section.

use avalon_config::Violation;
use serde::{Deserialize, Serialize};

/// `social`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub struct SocialConfig {}

impl SocialConfig {
    /// Checks the section's own rules.
    ///
    /// # Errors
    /// The first [`Violation`].
    pub fn check(&self) -> Result<(), Violation> {
        Ok(())
    }
}
