//! Compares samples of the leaderboards' index with the scores, daily.

use std::sync::Arc;
use std::time::Duration;

use avalon_core::jobs::MAINTENANCE;
use avalon_queue::{IdempotencyKey, Job, JobContext, JobError, QueueName, RetryPolicy};
use serde::{Deserialize, Serialize};

use crate::job_errors;
use crate::schedule;
use crate::services::Services;

/// Compares once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CheckBoards {}

impl Job for CheckBoards {
    const QUEUE: QueueName = MAINTENANCE;
    const KIND: &'static str = "check_boards";
    const RETRY: RetryPolicy = schedule::RETRY;
    const TIME_LIMIT: Duration = Duration::from_secs(600);
    const DEAD_TTL: Option<Duration> = Some(Duration::from_secs(24 * 3600));
    /// Number of differences.
    type Output = u64;

    /// One at a time in the fleet, and one per run of the schedule.
    fn key(&self) -> Option<IdempotencyKey> {
        Some(IdempotencyKey::new(
            Self::KIND,
            Duration::from_secs(23 * 3600),
        ))
    }
}

pub(crate) async fn handle(
    services: Arc<Services>,
    _: CheckBoards,
    _: JobContext,
) -> Result<u64, JobError> {
    let check = services.boards.check_samples().await;
    Ok(check.map_err(job_errors::board)?.differences)
}
