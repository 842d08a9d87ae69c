//! Deletes messages, and records of applied pushes, that are older than `pay.inbox_retention`.

use std::sync::Arc;
use std::time::Duration;

use avalon_core::jobs::MAINTENANCE;
use avalon_core::social::messages;
use avalon_queue::{IdempotencyKey, Job, JobContext, JobError, QueueName, RetryPolicy};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::batches::delete_in_batches;
use crate::job_errors;
use crate::schedule;
use crate::services::Services;

/// Deletes once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PruneMessages {}

impl Job for PruneMessages {
    const QUEUE: QueueName = MAINTENANCE;
    const KIND: &'static str = "prune_messages";
    const RETRY: RetryPolicy = schedule::RETRY;
    const TIME_LIMIT: Duration = Duration::from_secs(300);
    const DEAD_TTL: Option<Duration> = Some(Duration::from_secs(24 * 3600));
    /// Number of deleted rows.
    type Output = u64;

    /// One at a time in the fleet, and one per run of the schedule.
    fn key(&self) -> Option<IdempotencyKey> {
        Some(IdempotencyKey::new(Self::KIND, Duration::from_secs(1800)))
    }
}

pub(crate) async fn handle(
    services: Arc<Services>,
    _: PruneMessages,
    _: JobContext,
) -> Result<u64, JobError> {
    let before = Timestamp::now()
        .checked_sub(services.push_retention)
        .unwrap_or(Timestamp::MIN);
    let delete = |limit| messages::delete_old(&services.database, before, limit);
    delete_in_batches(delete, job_errors::message).await
}
