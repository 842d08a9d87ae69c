//! The sweeper: enqueues again what fell through, from the database, which is the truth.

use std::sync::Arc;
use std::time::Duration;

use avalon_core::jobs::sweep::Swept;
use avalon_core::jobs::{Callback, SettleRefund, Sweep};
use avalon_core::payments::{inbox, order_rows, orders, refunds};
use avalon_queue::{JobContext, JobError};
use jiff::Timestamp;

use crate::job_errors;
use crate::payments::wechat_pay::{self, follow};
use crate::services::Services;

/// What a job of its own should have dealt with by then is overdue.
const OVERDUE: Duration = Duration::from_secs(20);
/// A callback that no worker has processed by then is enqueued again.
const CALLBACK_OVERDUE: Duration = Duration::from_secs(3);
/// Of each sort, per sweep.
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
        // Its key makes it the job that is there already, if there is one.
        let new = services.enqueue(&Callback { inbox_id }).await?;
        swept.callbacks += usize::from(new);
    }

    for id in orders::due_checks(database, before(OVERDUE), BATCH)
        .await
        .map_err(job_errors::payment)?
    {
        let order = order_rows::by_id(database, &id)
            .await
            .map_err(job_errors::payment)?;
        if let Some(order) = order {
            let new = wechat_pay::check_later(&services, &id, order.checks, Duration::ZERO).await?;
            swept.orders += usize::from(new);
        }
    }
    for id in refunds::due_checks(database, before(OVERDUE), BATCH)
        .await
        .map_err(job_errors::payment)?
    {
        let refund = refunds::by_id(database, &id)
            .await
            .map_err(job_errors::payment)?;
        if let Some(refund) = refund {
            let settle = SettleRefund {
                refund_id: id,
                check: refund.checks,
            };
            let new = follow(&services, settle.into_job(Duration::ZERO)).await?;
            swept.refunds += usize::from(new);
        }
    }
    wechat_pay::announce(&services).await;
    services.analytics.relay.wake();
    if swept != Swept::default() {
        tracing::info!(?swept, "work that fell through was enqueued again");
    }
    Ok(swept)
}
