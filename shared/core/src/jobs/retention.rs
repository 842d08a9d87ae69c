//! Deletes what has been kept long enough: processed callbacks and delivered webhooks. The life of an
//! order (`order_history`), refunds and the ledger stay.

use std::time::Duration;

use avalon_queue::{IdempotencyKey, Job, NewJob, QueueName, RetryPolicy};
use serde::{Deserialize, Serialize};

/// Deletes once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Retention {}

impl Job for Retention {
    const QUEUE: QueueName = super::MAINTENANCE;
    const KIND: &'static str = "retention";
    // The clock asks again.
    const RETRY: RetryPolicy = RetryPolicy::NEVER;
    const TIME_LIMIT: Duration = Duration::from_secs(300);
    const DEAD_TTL: Option<Duration> = Some(Duration::from_secs(24 * 3600));
    /// How many rows were deleted.
    type Output = u64;

    /// One at a time in the fleet, and one per run of the schedule.
    fn key(&self) -> Option<IdempotencyKey> {
        Some(IdempotencyKey::new(Self::KIND, Duration::from_secs(1800)))
    }
}

impl Retention {
    /// The job; one at a time in the whole fleet, and not again within `pause`.
    ///
    /// # Errors
    /// When it can't be serialised, which is a defect.
    pub fn into_job(self, pause: Duration) -> Result<NewJob, serde_json::Error> {
        Ok(NewJob::of(&self)?.once_per(IdempotencyKey::new("retention", pause)))
    }
}
