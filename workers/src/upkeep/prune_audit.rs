//! Keeps the audit log to the time that is configured.

use std::sync::Arc;

use avalon_core::audit;
use avalon_core::base::problem::ProblemCode;
use avalon_core::jobs::PruneAudit;
use avalon_queue::{JobContext, JobError};
use jiff::Timestamp;

use crate::job_errors;
use crate::services::Services;

pub(crate) async fn handle(
    services: Arc<Services>,
    _: PruneAudit,
    _: JobContext,
) -> Result<u64, JobError> {
    let oldest = Timestamp::now().checked_sub(services.audit_retention);
    // Longer than time has been: nothing is too old.
    let Ok(oldest) = oldest else { return Ok(0) };
    let deleted = audit::prune(&services.database, oldest)
        .await
        .map_err(|error| {
            tracing::warn!(%error, "the audit log was not pruned to its end");
            job_errors::retry(ProblemCode::StoreUnavailable)
        })?;
    if deleted > 0 {
        tracing::info!(deleted, "old events of the audit log were deleted");
    }
    Ok(deleted)
}
