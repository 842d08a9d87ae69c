//! Repeats bans in the players' sessions (`avalon_core::accounts::bans`).

use std::sync::Arc;
use std::time::Duration;

use avalon_core::accounts::bans;
use avalon_core::base::problem::ProblemCode;
use avalon_core::jobs::MAINTENANCE;
use avalon_queue::{IdempotencyKey, Job, JobContext, JobError, QueueName, RetryPolicy};
use serde::{Deserialize, Serialize};

use crate::job_errors;
use crate::services::Services;

/// Compares all bans once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ReconcileBans {}

impl Job for ReconcileBans {
    const QUEUE: QueueName = MAINTENANCE;
    const KIND: &'static str = "reconcile_bans";
    const RETRY: RetryPolicy = RetryPolicy {
        max_attempts: 3,
        base: Duration::from_secs(2),
        cap: Duration::from_secs(10),
    };
    const TIME_LIMIT: Duration = Duration::from_secs(300);
    const RESULT_TTL: Duration = Duration::from_secs(60);
    const DEAD_TTL: Option<Duration> = Some(Duration::from_secs(3600));
    /// Number of bans that the sessions had lost.
    type Output = u64;

    /// One at a time in the fleet, and one per run of the schedule.
    fn key(&self) -> Option<IdempotencyKey> {
        Some(IdempotencyKey::new(Self::KIND, Duration::from_secs(20)))
    }
}

pub(crate) async fn handle(
    services: Arc<Services>,
    _: ReconcileBans,
    _: JobContext,
) -> Result<u64, JobError> {
    let reconciled = bans::reconcile(&services.database, &services.sessions);
    reconciled.await.map_err(|error| {
        tracing::warn!(%error, "bans could not be compared with sessions, will retry");
        job_errors::retry(ProblemCode::StoreUnavailable)
    })
}
