//! `social`: leaderboards, shares, invitations and messages. Each part has a file of its own beside its rules;
//! here they become one section.

use avalon_config::Violation;
use serde::{Deserialize, Serialize};

use super::messages::config::{MessagesConfig, Template, read_templates};

/// `social`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub struct SocialConfig {
    /// Templates of subscribe messages.
    #[serde(deserialize_with = "read_templates")]
    pub templates: Vec<Template>,
    /// Rules of subscribe messages.
    pub messages: MessagesConfig,
}

impl SocialConfig {
    /// Checks the section's own rules.
    ///
    /// # Errors
    /// The first [`Violation`].
    pub fn check(&self) -> Result<(), Violation> {
        self.messages.check(&self.templates)
    }
}
