//! Deletes expired runs, keys of scores, memberships of groups, and old verdicts, in batches.

use std::sync::Arc;
use std::time::Duration;

use avalon_core::jobs::MAINTENANCE;
use avalon_queue::{IdempotencyKey, Job, JobContext, JobError, QueueName, RetryPolicy};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::job_errors;
use crate::schedule;
use crate::services::Services;

/// Deletes once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PruneBoards {}

impl Job for PruneBoards {
    const QUEUE: QueueName = MAINTENANCE;
    const KIND: &'static str = "prune_boards";
    const RETRY: RetryPolicy = schedule::RETRY;
    const TIME_LIMIT: Duration = Duration::from_secs(300);
    const DEAD_TTL: Option<Duration> = Some(Duration::from_secs(24 * 3600));
    /// Number of batches.
    type Output = usize;

    /// One at a time in the fleet, and one per run of the schedule.
    fn key(&self) -> Option<IdempotencyKey> {
        Some(IdempotencyKey::new(Self::KIND, Duration::from_secs(1800)))
    }
}

/// Rows per batch and kind.
const BATCH: i64 = 1000;
/// Batches per job; the next job continues.
const BATCHES: usize = 100;

pub(crate) async fn handle(
    services: Arc<Services>,
    _: PruneBoards,
    _: JobContext,
) -> Result<usize, JobError> {
    for batch in 1..=BATCHES {
        let deleted = services.boards.prune(Timestamp::now(), BATCH).await;
        if deleted.map_err(job_errors::board)? < BATCH.unsigned_abs() {
            return Ok(batch);
        }
    }
    Ok(BATCHES)
}
