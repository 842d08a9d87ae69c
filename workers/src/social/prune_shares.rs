//! Deletes shares that are too old for the funnel, and addresses of invited players who reached no milestone.

use std::sync::Arc;
use std::time::Duration;

use avalon_core::jobs::MAINTENANCE;
use avalon_core::social::invites;
use avalon_core::social::shares::retention;
use avalon_queue::{IdempotencyKey, Job, JobContext, JobError, QueueName, RetryPolicy};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::batches::delete_in_batches;
use crate::job_errors;
use crate::schedule;
use crate::services::Services;

/// Age at which shares are deleted: longer than any id is valid, and than the funnel can look back.
const RETENTION: Duration = Duration::from_secs(400 * 24 * 3600);

/// Age at which the address of an invited player is removed.
const ADDRESS_RETENTION: Duration = Duration::from_secs(90 * 24 * 3600);

/// Deletes once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PruneShares {}

impl Job for PruneShares {
    const QUEUE: QueueName = MAINTENANCE;
    const KIND: &'static str = "prune_shares";
    const RETRY: RetryPolicy = schedule::RETRY;
    const TIME_LIMIT: Duration = Duration::from_secs(300);
    const DEAD_TTL: Option<Duration> = Some(Duration::from_secs(24 * 3600));
    /// Number of deleted shares.
    type Output = u64;

    /// One at a time in the fleet, and one per run of the schedule.
    fn key(&self) -> Option<IdempotencyKey> {
        Some(IdempotencyKey::new(Self::KIND, Duration::from_secs(1800)))
    }
}

pub(crate) async fn handle(
    services: Arc<Services>,
    _: PruneShares,
    _: JobContext,
) -> Result<u64, JobError> {
    let now = Timestamp::now();
    let before = |age| now.checked_sub(age).unwrap_or(Timestamp::MIN);
    let database = &services.database;
    let shares = |limit| retention::delete_old(database, before(RETENTION), limit);
    let deleted = delete_in_batches(shares, job_errors::database).await?;
    let before = before(ADDRESS_RETENTION);
    let addresses = |limit| invites::forget_addresses(database, before, limit);
    delete_in_batches(addresses, job_errors::database).await?;
    if deleted > 0 {
        tracing::info!(deleted, "deleted old shares");
    }
    Ok(deleted)
}
