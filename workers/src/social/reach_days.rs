//! Finds the invited players whose milestone is a number of days, and who have signed in after these.

use std::sync::Arc;
use std::time::Duration;

use avalon_core::jobs::MAINTENANCE;
use avalon_queue::{IdempotencyKey, Job, JobContext, JobError, QueueName, RetryPolicy};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::job_errors;
use crate::schedule;
use crate::services::Services;

/// Looks once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ReachDays {}

impl Job for ReachDays {
    const QUEUE: QueueName = MAINTENANCE;
    const KIND: &'static str = "reach_days";
    const RETRY: RetryPolicy = schedule::RETRY;
    const TIME_LIMIT: Duration = Duration::from_secs(300);
    const DEAD_TTL: Option<Duration> = Some(Duration::from_secs(24 * 3600));
    /// Number of players who have reached the milestone.
    type Output = u64;

    /// One at a time in the fleet, and one per run of the schedule.
    fn key(&self) -> Option<IdempotencyKey> {
        Some(IdempotencyKey::new(Self::KIND, Duration::from_secs(300)))
    }
}

/// Rows per statement.
const BATCH: i64 = 1000;

pub(crate) async fn handle(
    services: Arc<Services>,
    _: ReachDays,
    _: JobContext,
) -> Result<u64, JobError> {
    let reached = services.invites.reach_by_days(Timestamp::now(), BATCH);
    reached.await.map_err(job_errors::database)
}
