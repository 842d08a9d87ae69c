//! Finds what fell through: callbacks that no job knows of, orders and refunds whose time to be asked
//! about is over, webhooks that were never enqueued. What a flushed queue loses, this finds.

use std::time::Duration;

use avalon_queue::{IdempotencyKey, Job, NewJob, QueueName, RetryPolicy};
use serde::{Deserialize, Serialize};

/// Sweeps once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sweep {}

impl Job for Sweep {
    const QUEUE: QueueName = super::MAINTENANCE;
    const KIND: &'static str = "sweep";
    const RETRY: RetryPolicy = RetryPolicy::NEVER;
    const TIME_LIMIT: Duration = Duration::from_secs(60);
    const RESULT_TTL: Duration = Duration::from_secs(60);
    const DEAD_TTL: Option<Duration> = Some(Duration::from_secs(3600));
    type Output = Swept;

    /// One at a time in the fleet, and one per run of the schedule.
    fn key(&self) -> Option<IdempotencyKey> {
        Some(IdempotencyKey::new(Self::KIND, Duration::from_millis(2500)))
    }
}

impl Sweep {
    /// The job; one at a time in the whole fleet, and not again within `pause`.
    ///
    /// # Errors
    /// When it can't be serialised, which is a defect.
    pub fn into_job(self, pause: Duration) -> Result<NewJob, serde_json::Error> {
        Ok(NewJob::of(&self)?.once_per(IdempotencyKey::new("sweep", pause)))
    }
}

/// What was found and enqueued.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Swept {
    /// Callbacks.
    pub callbacks: usize,
    /// Orders to be asked about.
    pub orders: usize,
    /// Refunds to be asked about.
    pub refunds: usize,
    /// Webhooks.
    pub fulfilments: usize,
}
