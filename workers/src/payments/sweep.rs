//! The sweeper: enqueues the work that the database knows and the queue has lost. That is callbacks and pushes
//! without a job, orders and refunds whose next query is overdue, erasures, and webhooks that were never enqueued.

use std::sync::Arc;
use std::time::Duration;

use avalon_core::jobs::{Callback, MAINTENANCE, ProcessPush, SettleRefund};
use avalon_core::payments::{channel_refunds, coins, inbox, order_rows, orders, refunds};
use avalon_core::personal::{Step, erasure};
use avalon_core::platform::pushes;
use avalon_queue::{IdempotencyKey, Job, JobContext, JobError, QueueName, RetryPolicy};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::job_errors;
use crate::payments::{resume, settlement};
use crate::personal::erase_player;
use crate::platform::pushed_refund;
use crate::schedule;
use crate::services::Services;

/// Sweeps once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sweep {}

impl Job for Sweep {
    const QUEUE: QueueName = MAINTENANCE;
    const KIND: &'static str = "sweep";
    const RETRY: RetryPolicy = schedule::RETRY;
    const TIME_LIMIT: Duration = Duration::from_secs(60);
    const RESULT_TTL: Duration = Duration::from_secs(60);
    const DEAD_TTL: Option<Duration> = Some(Duration::from_secs(3600));
    type Output = Swept;

    /// One at a time in the fleet, and one per run of the schedule.
    fn key(&self) -> Option<IdempotencyKey> {
        Some(IdempotencyKey::new(Self::KIND, Duration::from_millis(2500)))
    }
}

/// Numbers of jobs that were enqueued.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Swept {
    /// Callbacks.
    pub callbacks: usize,
    /// Pushes.
    #[serde(default)]
    pub pushes: usize,
    /// Queries of orders.
    pub orders: usize,
    /// Queries of refunds.
    pub refunds: usize,
    /// Changes of coins.
    #[serde(default)]
    pub coins: usize,
    /// Webhooks.
    pub fulfilments: usize,
    /// Erasures of players.
    #[serde(default)]
    pub erasures: usize,
}

/// A query is overdue when its own job should have done it this long ago.
const OVERDUE: Duration = Duration::from_secs(20);
/// A callback or push is overdue this long after it was received.
const CALLBACK_OVERDUE: Duration = Duration::from_secs(3);
/// Rows of each table per sweep.
const BATCH: i64 = 500;

pub(crate) async fn handle(
    services: Arc<Services>,
    _: Sweep,
    _: JobContext,
) -> Result<Swept, JobError> {
    let now = Timestamp::now();
    let before = |time: Duration| now.checked_sub(time).unwrap_or(Timestamp::MIN);
    let database = &services.database;
    let mut swept = Swept::default();

    let received = before(CALLBACK_OVERDUE).as_millisecond();
    for inbox_id in inbox::unprocessed(database, received, BATCH)
        .await
        .map_err(job_errors::payment)?
    {
        // If its job still exists, the key finds it.
        let new = services.enqueue(&Callback { inbox_id }).await?;
        swept.callbacks += usize::from(new);
    }
    for push in pushes::unprocessed(database, received, BATCH)
        .await
        .map_err(job_errors::database)?
    {
        let job = ProcessPush {
            push_id: push.id,
            replayed_at: push.replayed_at,
        };
        swept.pushes += usize::from(services.enqueue(&job).await?);
    }
    for id in orders::due_checks(database, before(OVERDUE), BATCH)
        .await
        .map_err(job_errors::payment)?
    {
        let order = order_rows::by_id(database, id)
            .await
            .map_err(job_errors::payment)?;
        if let Some(order) = order {
            let new = settlement::check_later(&services, id, order.checks, Duration::ZERO).await?;
            swept.orders += usize::from(new);
        }
    }
    for refund_id in refunds::due_checks(database, before(OVERDUE), BATCH)
        .await
        .map_err(job_errors::payment)?
    {
        let refund = refunds::by_id(database, refund_id)
            .await
            .map_err(job_errors::payment)?;
        if let Some(refund) = refund {
            let settle = SettleRefund {
                refund_id,
                check: refund.checks,
                wait: Duration::ZERO,
            };
            let new = services.enqueue(&settle).await?;
            swept.refunds += usize::from(new);
        }
    }
    let tried = before(OVERDUE);
    for id in coins::due(database, tried, BATCH)
        .await
        .map_err(job_errors::payment)?
    {
        swept.coins += usize::from(resume::enqueue_change(&services, id).await?);
    }
    let refunds = channel_refunds::overdue(database, BATCH).await;
    for id in refunds.map_err(job_errors::payment)? {
        pushed_refund::apply_stored(&services, &id).await?;
        swept.refunds += 1;
    }
    for erasure in erasure::due(database, before(OVERDUE), BATCH)
        .await
        .map_err(job_errors::database)?
    {
        let new = match erasure.step {
            Step::Notifying => erase_player::report(&services, &erasure).await?,
            _ => erase_player::enqueue(&services, &erasure).await?,
        };
        swept.erasures += usize::from(new);
    }
    settlement::enqueue_webhooks(&services).await;
    services.analytics.relay.wake();
    if swept != Swept::default() {
        tracing::info!(?swept, "lost work was enqueued again");
    }
    Ok(swept)
}
