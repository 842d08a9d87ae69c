//! What a process does, as far as its configuration depends on it.

use avalon_config::Mode;
use strum::Display;

/// The role of a process.
#[derive(Debug, Display, Clone, Copy, PartialEq, Eq, Hash)]
#[strum(serialize_all = "lowercase")]
pub enum Role {
    /// Everything in one process with a simulator, for developers. Needs no configuration.
    Dev,
    /// API and workers in one process.
    All,
    /// The public API.
    Api,
    /// Worker pools.
    Workers,
    /// The WeChat simulator alone.
    Simulator,
    /// Migrates the database and ends.
    Migrate,
    /// Operates on jobs from the command line and ends.
    Jobs,
    /// Inspects or re-encrypts what is encrypted at rest, and ends.
    Keys,
}

impl Role {
    /// Whether it serves players' requests.
    pub fn serves_api(self) -> bool {
        matches!(self, Self::Dev | Self::All | Self::Api)
    }

    /// Whether it runs jobs.
    pub fn runs_workers(self) -> bool {
        matches!(self, Self::Dev | Self::All | Self::Workers)
    }
}

impl From<Role> for Mode {
    fn from(role: Role) -> Self {
        match role {
            Role::Dev => Self::Development,
            _ => Self::Production,
        }
    }
}
