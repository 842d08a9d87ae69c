//! Deletes events of the audit log that are older than they are kept.

use std::time::Duration;

use avalon_queue::{IdempotencyKey, Job, NewJob, QueueName, RetryPolicy};
use serde::{Deserialize, Serialize};

/// Prunes once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PruneAudit {}

impl Job for PruneAudit {
    const QUEUE: QueueName = super::MAINTENANCE;
    const KIND: &'static str = "prune_audit";
    const RETRY: RetryPolicy = RetryPolicy {
        max_attempts: 4,
        base: Duration::from_secs(30),
        cap: Duration::from_secs(600),
    };
    const TIME_LIMIT: Duration = Duration::from_secs(300);
    const RESULT_TTL: Duration = Duration::from_secs(60);
    const DEAD_TTL: Option<Duration> = Some(Duration::from_secs(24 * 3600));
    /// How many events were deleted.
    type Output = u64;
}

impl PruneAudit {
    /// The job; one at a time in the whole fleet, and not again within `pause`.
    ///
    /// # Errors
    /// When it can't be serialised, which is a defect.
    pub fn into_job(self, pause: Duration) -> Result<NewJob, serde_json::Error> {
        Ok(NewJob::of(&self)?.once_per(IdempotencyKey::new("prune_audit", pause)))
    }
}
