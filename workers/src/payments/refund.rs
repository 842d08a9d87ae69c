//! Brings a refund to its final state: submits it to its channel, always with the same bytes, and queries it
//! until the money has arrived. A refund of unknown outcome is queried before it is submitted again.

use std::sync::Arc;
use std::time::Duration;

use avalon_core::base::problem::ProblemCode;
use avalon_core::jobs::SettleRefund;
use avalon_core::payments::order_rows::{self, Order};
use avalon_core::payments::refunds::{self, Refund};
use avalon_core::payments::{Channel, OrderStatus, RefundStatus, refund_outcomes};
use avalon_queue::{JobContext, JobError};
use jiff::Timestamp;

use crate::job_errors;
use crate::payments::channel::{ErrorClass, RefundState};
use crate::payments::settlement::{self, channel_of};
use crate::services::Services;

/// Seconds from each query to the next; the last interval repeats.
const INTERVALS: [u64; 8] = [2, 60, 60, 60, 300, 600, 1200, 1800];

/// Reports a refund's change of state: to operators, and to the game server when the order changed.
pub(crate) async fn announce(
    services: &Services,
    channel: Channel,
    before: &Refund,
    after: &Refund,
    changed: Option<&Order>,
) {
    if after.status != before.status {
        services.metrics.refund(after.status, channel);
    }
    if after.status == RefundStatus::Closed && before.status != RefundStatus::Closed {
        tracing::error!(
            refund_id = %after.refund_id,
            order_id = %after.order_id,
            amount = after.amount.get(),
            "a refund was closed, the player's money was not returned"
        );
    }
    if let Some(order) = changed {
        // A partial refund does not change the order's state.
        if order.status == OrderStatus::Refunded {
            services.metrics.order(order.status, channel);
        }
        settlement::enqueue_webhooks(services).await;
        services.analytics.relay.wake();
    }
}

pub(crate) async fn handle(
    services: Arc<Services>,
    job: SettleRefund,
    _: JobContext,
) -> Result<Refund, JobError> {
    let refund = refunds::by_id(&services.database, job.refund_id)
        .await
        .map_err(job_errors::payment)?
        .ok_or_else(|| job_errors::reject(ProblemCode::OrderNotFound))?;
    if is_final(refund.status) {
        return Ok(refund);
    }
    let next = schedule_check(&services, &refund, job.check).await?;
    let state = submit_or_query(&services, &refund).await?;
    let refund = apply(&services, &refund, state).await?;
    if !is_final(refund.status) {
        services.enqueue(&next).await?;
    }
    Ok(refund)
}

fn is_final(status: RefundStatus) -> bool {
    matches!(status, RefundStatus::Succeeded | RefundStatus::Closed)
}

/// Schedules the next query in the refund's row, before the call: a refund that the channel keeps refusing
/// is then queried as rarely as any other. Only the first attempt of each query changes the row.
async fn schedule_check(
    services: &Services,
    refund: &Refund,
    check: i64,
) -> Result<SettleRefund, JobError> {
    let interval = |checks: i64| {
        let index = usize::try_from(checks).unwrap_or(usize::MAX);
        Duration::from_secs(INTERVALS[index.min(INTERVALS.len() - 1)])
    };
    let refund_id = refund.refund_id;
    if check < refund.checks {
        return Ok(SettleRefund {
            refund_id,
            check: refund.checks,
            wait: interval(refund.checks - 1),
        });
    }
    let wait = interval(refund.checks);
    let next = Timestamp::now().checked_add(wait).unwrap_or(Timestamp::MAX);
    refunds::checked(&services.database, refund_id, next)
        .await
        .map_err(job_errors::payment)?;
    Ok(SettleRefund {
        refund_id,
        check: refund.checks + 1,
        wait,
    })
}

/// Returns the refund's state at the channel, submitting it if the channel does not know it. None: the
/// channel refuses it permanently and does not know it, by an unsigned error.
async fn submit_or_query(
    services: &Services,
    refund: &Refund,
) -> Result<Option<RefundState>, JobError> {
    let order = order_of(services, refund).await?;
    let channel = channel_of(services, &order)?;
    // It may have been submitted before.
    if refund.channel_request.is_some() {
        match channel.query_refund(refund).await {
            Ok(state) => return Ok(Some(state)),
            // Unsigned, and no signed report says otherwise.
            Err(error)
                if error.class == ErrorClass::Absent && refund.channel_refund_id.is_none() => {}
            Err(error) => return Err(error.into()),
        }
    }
    let request = match &refund.channel_request {
        Some(request) => request.clone(),
        None => {
            let request = channel.refund_request(&order, refund)?;
            refunds::store_request(&services.database, refund.refund_id, &request)
                .await
                .map_err(job_errors::payment)?
        }
    };
    let error = match channel.refund(refund, &request).await {
        Ok(state) => return Ok(Some(state)),
        Err(error) => error,
    };
    if error.class != ErrorClass::Permanent {
        return Err(error.into());
    }
    tracing::error!(%error, refund_id = %refund.refund_id, "the payment channel refused a refund");
    match channel.query_refund(refund).await {
        Ok(state) => Ok(Some(state)),
        Err(error) if error.class == ErrorClass::Absent => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Queries a refund that was closed here by an unsigned report. If that reopens it, the sweeper finds the
/// next query in its row.
pub(crate) async fn query(services: &Services, refund: &Refund) -> Result<Refund, JobError> {
    let order = order_of(services, refund).await?;
    let state = channel_of(services, &order)?.query_refund(refund).await?;
    apply(services, refund, Some(state)).await
}

async fn order_of(services: &Services, refund: &Refund) -> Result<Order, JobError> {
    order_rows::by_id(&services.database, refund.order_id)
        .await
        .map_err(job_errors::payment)?
        .ok_or_else(|| job_errors::reject(ProblemCode::Internal))
}

/// Applies the channel's report; without one the refund ends.
async fn apply(
    services: &Services,
    refund: &Refund,
    state: Option<RefundState>,
) -> Result<Refund, JobError> {
    let (status, number) = match state {
        Some(state) => (state.status, Some(state.channel_refund_id)),
        None => (RefundStatus::Closed, None),
    };
    let (id, now) = (refund.refund_id, Timestamp::now());
    let applied = refund_outcomes::apply(
        &services.database,
        id,
        status,
        number.as_deref(),
        services.webhooks(),
        now,
    )
    .await;
    let (after, changed) = applied.map_err(job_errors::payment)?;
    let channel = order_of(services, refund).await?.channel;
    announce(services, channel, refund, &after, changed.as_ref()).await;
    if status == RefundStatus::Succeeded && after.status != status {
        tracing::error!(refund_id = %id, "a refund exceeds what was paid, it was not counted");
    }
    Ok(after)
}
