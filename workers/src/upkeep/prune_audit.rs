//! Deletes audit events that are older than `storage.audit_retention`.

use std::sync::Arc;
use std::time::Duration;

use avalon_core::audit;
use avalon_core::base::problem::ProblemCode;
use avalon_core::jobs::MAINTENANCE;
use avalon_queue::{IdempotencyKey, Job, JobContext, JobError, QueueName, RetryPolicy};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::job_errors;
use crate::services::Services;

/// Prunes the audit log once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PruneAudit {}

impl Job for PruneAudit {
    const QUEUE: QueueName = MAINTENANCE;
    const KIND: &'static str = "prune_audit";
    const RETRY: RetryPolicy = RetryPolicy {
        max_attempts: 4,
        base: Duration::from_secs(30),
        cap: Duration::from_secs(600),
    };
    const TIME_LIMIT: Duration = Duration::from_secs(300);
    const RESULT_TTL: Duration = Duration::from_secs(60);
    const DEAD_TTL: Option<Duration> = Some(Duration::from_secs(24 * 3600));
    /// Number of deleted events.
    type Output = u64;

    /// One at a time in the fleet, and one per run of the schedule.
    fn key(&self) -> Option<IdempotencyKey> {
        Some(IdempotencyKey::new(Self::KIND, Duration::from_secs(1800)))
    }
}

pub(crate) async fn handle(
    services: Arc<Services>,
    _: PruneAudit,
    _: JobContext,
) -> Result<u64, JobError> {
    let oldest = Timestamp::now().checked_sub(services.audit_retention);
    // The retention reaches back before the first possible time: nothing is too old.
    let Ok(oldest) = oldest else { return Ok(0) };
    let deleted = audit::prune(&services.database, oldest)
        .await
        .map_err(|error| {
            tracing::warn!(%error, "audit log pruning failed, will retry");
            job_errors::retry(ProblemCode::StoreUnavailable)
        })?;
    if deleted > 0 {
        tracing::info!(deleted, "deleted old audit events");
    }
    Ok(deleted)
}
