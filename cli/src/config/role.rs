//! What a process does, as far as its configuration depends on it.

use std::fmt;

use avalon_config::Mode;

/// The role of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dev => "dev",
            Self::All => "all",
            Self::Api => "api",
            Self::Workers => "workers",
            Self::Simulator => "simulator",
            Self::Migrate => "migrate",
            Self::Jobs => "jobs",
            Self::Keys => "keys",
        })
    }
}
