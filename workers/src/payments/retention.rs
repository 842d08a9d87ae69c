//! Deletes processed callbacks and delivered webhooks that are older than `pay.inbox_retention`, in batches,
//! so that no transaction is long. Orders with their history, refunds and the ledger stay.

use std::sync::Arc;
use std::time::Duration;

use avalon_core::jobs::MAINTENANCE;
use avalon_core::payments::{PaymentError, fulfilments, inbox};
use avalon_queue::{IdempotencyKey, Job, JobContext, JobError, QueueName, RetryPolicy};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::job_errors;
use crate::schedule;
use crate::services::Services;

/// Deletes once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Retention {}

impl Job for Retention {
    const QUEUE: QueueName = MAINTENANCE;
    const KIND: &'static str = "retention";
    const RETRY: RetryPolicy = schedule::RETRY;
    const TIME_LIMIT: Duration = Duration::from_secs(300);
    const DEAD_TTL: Option<Duration> = Some(Duration::from_secs(24 * 3600));
    /// Number of deleted rows.
    type Output = u64;

    /// One at a time in the fleet, and one per run of the schedule.
    fn key(&self) -> Option<IdempotencyKey> {
        Some(IdempotencyKey::new(Self::KIND, Duration::from_secs(1800)))
    }
}

/// Rows per batch.
const BATCH: i64 = 1000;
/// Batches of each table per job; the next job continues.
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
    let callbacks = in_batches(|| inbox::delete_processed(database, before, BATCH)).await?;
    let webhooks = in_batches(|| fulfilments::delete_delivered(database, before, BATCH)).await?;
    if callbacks + webhooks > 0 {
        tracing::info!(callbacks, webhooks, "deleted old callbacks and webhooks");
    }
    Ok(callbacks + webhooks)
}

/// Deletes batches until one is not full.
async fn in_batches<F>(delete_batch: impl Fn() -> F) -> Result<u64, JobError>
where
    F: Future<Output = Result<u64, PaymentError>>,
{
    let mut deleted = 0;
    for _ in 0..BATCHES {
        let batch = delete_batch().await.map_err(job_errors::payment)?;
        deleted += batch;
        if batch < BATCH.unsigned_abs() {
            break;
        }
    }
    Ok(deleted)
}
