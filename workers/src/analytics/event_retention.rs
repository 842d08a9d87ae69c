//! Makes partitions for the days to come and for those that events may still come of, and removes
//! the events of old days.

use std::sync::Arc;

use avalon_core::analytics::{Day, partitions};
use avalon_core::jobs::EventRetention;
use avalon_core::payments::PaymentError;
use avalon_core::storage::database::DatabaseError;
use avalon_queue::{JobContext, JobError};
use jiff::Timestamp;

use crate::job_errors;
use crate::services::Services;

/// Days that are made before they begin.
const AHEAD: i64 = 3;

pub(crate) async fn handle(
    services: Arc<Services>,
    _: EventRetention,
    _: JobContext,
) -> Result<u64, JobError> {
    let (database, analytics) = (&services.database, &services.analytics);
    let failed = |error: DatabaseError| job_errors::payment(PaymentError::from(error));
    let first = Day::of(Timestamp::now()).plus(-analytics.max_age_days);
    partitions::make_ahead(database, first, analytics.max_age_days + 1 + AHEAD)
        .await
        .map_err(failed)?;
    let removed = partitions::remove_before(database, analytics.oldest())
        .await
        .map_err(failed)?;
    if removed > 0 {
        tracing::info!(removed, "events of old days were removed");
    }
    Ok(removed)
}
