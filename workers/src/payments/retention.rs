//! Deletes processed callbacks and delivered webhooks that are older than `pay.inbox_retention`, in batches,
//! so that no transaction is long. Orders with their history, refunds and the ledger stay.

use std::sync::Arc;
use std::time::Duration;

use avalon_core::jobs::MAINTENANCE;
use avalon_core::payments::{fulfilments, inbox};
use avalon_queue::{IdempotencyKey, Job, JobContext, JobError, QueueName, RetryPolicy};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::batches::delete_in_batches;
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
    let callbacks = |limit| inbox::delete_processed(database, before, limit);
    let callbacks = delete_in_batches(callbacks, job_errors::payment).await?;
    let webhooks = |limit| fulfilments::delete_delivered(database, before, limit);
    let webhooks = delete_in_batches(webhooks, job_errors::payment).await?;
    if callbacks + webhooks > 0 {
        tracing::info!(callbacks, webhooks, "deleted old callbacks and webhooks");
    }
    Ok(callbacks + webhooks)
}
