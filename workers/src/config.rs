//! Settings of the workers: `workers` (pools) and `queue` (leases, the embedded queue).

use std::{path::PathBuf, time::Duration};

use avalon_config::{Violation, rule, text};
use serde::{Deserialize, Serialize};

/// `workers`: worker pools.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub struct WorkersConfig {
    /// The queues that this process serves; empty: all.
    #[serde(deserialize_with = "text::list")]
    pub queues: Vec<String>,
    /// Maximum number of concurrent jobs of one queue.
    pub concurrency: u32,
}

impl Default for WorkersConfig {
    fn default() -> Self {
        Self {
            queues: Vec::new(),
            concurrency: 64,
        }
    }
}

impl WorkersConfig {
    /// Checks the section's own rules.
    ///
    /// # Errors
    /// The first [`Violation`].
    pub fn check(&self) -> Result<(), Violation> {
        rule(
            self.concurrency > 0,
            "workers.concurrency",
            "must be at least 1",
        )
    }
}

/// `queue`: leases, and the embedded queue.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub struct QueueConfig {
    /// File of the embedded queue, used when `redis.url` is unset. The default is beside the database.
    pub path: Option<PathBuf>,
    /// A job whose worker has not renewed its lease for this long is leased to another.
    #[serde(with = "text::duration")]
    pub lease_timeout: Duration,
    /// A job that lost this number of workers is dead-lettered.
    pub max_lost_leases: u32,
    /// Time for running jobs to finish when the process stops.
    #[serde(with = "text::duration")]
    pub stop_grace: Duration,
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self {
            path: None,
            lease_timeout: Duration::from_secs(30),
            max_lost_leases: 5,
            stop_grace: Duration::from_secs(25),
        }
    }
}

impl QueueConfig {
    /// Checks the section's own rules.
    ///
    /// # Errors
    /// The first [`Violation`].
    pub fn check(&self) -> Result<(), Violation> {
        rule(
            self.lease_timeout > Duration::ZERO,
            "queue.lease_timeout",
            "must be longer than 0s",
        )?;
        rule(
            self.max_lost_leases > 0,
            "queue.max_lost_leases",
            "must be at least 1",
        )
    }
}
