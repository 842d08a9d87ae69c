//! Deletes what has been kept long enough, a batch at a time, so that no transaction is long and
//! nobody waits for it.

use std::sync::Arc;

use avalon_core::jobs::Retention;
use avalon_core::payments::{fulfilments, inbox};
use avalon_queue::{JobContext, JobError};
use jiff::Timestamp;

use crate::job_errors;
use crate::services::Services;

/// Rows of a batch.
const BATCH: i64 = 1000;
/// Batches of each sort in one job; the next one goes on.
const BATCHES: usize = 100;

pub(crate) async fn handle(
    services: Arc<Services>,
    _: Retention,
    _: JobContext,
) -> Result<u64, JobError> {
    let Some(pay) = &services.pay else {
        return Ok(0);
    };
    let before = Timestamp::now()
        .checked_sub(pay.inbox_retention)
        .unwrap_or(Timestamp::MIN);
    let database = &services.database;
    let callbacks = all(|| inbox::forget(database, before, BATCH)).await?;
    let webhooks = all(|| fulfilments::forget(database, before, BATCH)).await?;
    if callbacks + webhooks > 0 {
        tracing::info!(callbacks, webhooks, "what was kept long enough was deleted");
    }
    Ok(callbacks + webhooks)
}

/// Deletes batches until one is not full.
async fn all<F>(batch: impl Fn() -> F) -> Result<u64, JobError>
where
    F: Future<Output = Result<u64, avalon_core::payments::PaymentError>>,
{
    let mut deleted = 0;
    for _ in 0..BATCHES {
        let some = batch().await.map_err(job_errors::payment)?;
        deleted += some;
        if some < BATCH.unsigned_abs() {
            break;
        }
    }
    Ok(deleted)
}
