//! Makes room for the events of the days to come, and removes those that are old.

use std::time::Duration;

use avalon_queue::{IdempotencyKey, Job, NewJob, QueueName, RetryPolicy};
use serde::{Deserialize, Serialize};

/// Does it once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EventRetention {}

impl Job for EventRetention {
    const QUEUE: QueueName = super::MAINTENANCE;
    const KIND: &'static str = "event_retention";
    const RETRY: RetryPolicy = RetryPolicy {
        max_attempts: 4,
        base: Duration::from_secs(30),
        cap: Duration::from_secs(600),
    };
    const TIME_LIMIT: Duration = Duration::from_secs(300);
    // The clock makes another one within the hour.
    const DEAD_TTL: Option<Duration> = Some(Duration::from_secs(24 * 3600));
    /// How many days (Postgres) or events (SQLite) were removed.
    type Output = u64;
}

impl EventRetention {
    /// The job; one at a time in the whole fleet, and not again within `pause`.
    ///
    /// # Errors
    /// When it can't be serialised, which is a defect.
    pub fn into_job(self, pause: Duration) -> Result<NewJob, serde_json::Error> {
        Ok(NewJob::of(&self)?.once_per(IdempotencyKey::new("event_retention", pause)))
    }
}
