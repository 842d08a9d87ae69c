//! Creates partitions for coming days and for days whose events may still arrive, and removes events
//! that are older than `analytics.retention`.

use std::sync::Arc;
use std::time::Duration;

use avalon_core::analytics::{Day, partitions};
use avalon_core::jobs::MAINTENANCE;
use avalon_core::payments::PaymentError;
use avalon_core::storage::database::DatabaseError;
use avalon_queue::{IdempotencyKey, Job, JobContext, JobError, QueueName, RetryPolicy};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::job_errors;
use crate::services::Services;

/// Creates and removes partitions once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct EventRetention {}

impl Job for EventRetention {
    const QUEUE: QueueName = MAINTENANCE;
    const KIND: &'static str = "event_retention";
    const RETRY: RetryPolicy = RetryPolicy {
        max_attempts: 4,
        base: Duration::from_secs(30),
        cap: Duration::from_secs(600),
    };
    const TIME_LIMIT: Duration = Duration::from_secs(300);
    // The schedule enqueues another one within the hour.
    const DEAD_TTL: Option<Duration> = Some(Duration::from_secs(24 * 3600));
    /// Number of days (Postgres) or events (SQLite) that were removed.
    type Output = u64;

    /// One at a time in the fleet, and one per run of the schedule.
    fn key(&self) -> Option<IdempotencyKey> {
        Some(IdempotencyKey::new(Self::KIND, Duration::from_secs(1800)))
    }
}

/// Days whose partitions exist before they begin.
const AHEAD: i64 = 3;

pub(crate) async fn handle(
    services: Arc<Services>,
    _: EventRetention,
    _: JobContext,
) -> Result<u64, JobError> {
    let (database, analytics) = (&services.database, &services.analytics);
    let failed = |error: DatabaseError| job_errors::payment(PaymentError::from(error));
    let first = Day::of(Timestamp::now()).plus(-analytics.max_age_days);
    partitions::create_ahead(database, first, analytics.max_age_days + 1 + AHEAD)
        .await
        .map_err(failed)?;
    let removed = partitions::remove_before(database, analytics.oldest())
        .await
        .map_err(failed)?;
    if removed > 0 {
        tracing::info!(removed, "removed events of old days");
    }
    Ok(removed)
}
