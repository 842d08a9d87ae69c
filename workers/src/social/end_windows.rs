//! Ends the windows of leaderboards that are due (`avalon_core::social::boards`): archive, prizes, clean-up.

use std::sync::Arc;
use std::time::Duration;

use avalon_core::jobs::MAINTENANCE;
use avalon_queue::{IdempotencyKey, Job, JobContext, JobError, QueueName, RetryPolicy};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::job_errors;
use crate::schedule;
use crate::services::Services;

/// Ends all windows that are due.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EndWindows {}

impl Job for EndWindows {
    const QUEUE: QueueName = MAINTENANCE;
    const KIND: &'static str = "end_windows";
    const RETRY: RetryPolicy = schedule::RETRY;
    const TIME_LIMIT: Duration = Duration::from_secs(600);
    const RESULT_TTL: Duration = Duration::from_secs(60);
    const DEAD_TTL: Option<Duration> = Some(Duration::from_secs(24 * 3600));
    /// Number of windows that have ended.
    type Output = u64;

    /// One at a time in the fleet, and one per run of the schedule. Two at once would do no harm.
    fn key(&self) -> Option<IdempotencyKey> {
        Some(IdempotencyKey::new(Self::KIND, Duration::from_secs(10)))
    }
}

pub(crate) async fn handle(
    services: Arc<Services>,
    _: EndWindows,
    _: JobContext,
) -> Result<u64, JobError> {
    let ended = services.boards.end_due(Timestamp::now()).await;
    Ok(ended.map_err(job_errors::board)?.ended)
}
