//! The rules of any payment channel: what its signed answers mean for an order, and what follows from that.
//! Unsigned errors decide nothing. How an order is first offered is in `offer`.

use std::time::Duration;

use avalon_core::base::ids::{InboxId, OrderId};
use avalon_core::base::problem::ProblemCode;
use avalon_core::jobs::SettleRefund;
use avalon_core::payments::order_rows::Order;
use avalon_core::payments::orders::{self, Paid, PayBack, Payment, ReportedPayment};
use avalon_core::payments::refunds::{self, NewRefund, Refund};
use avalon_core::payments::{
    CallbackOutcome, Cause, Channel, OrderStatus, coins, events, fulfilments, virtual_orders,
};
use avalon_queue::JobError;
use jiff::Timestamp;

use crate::job_errors;
use crate::payments::channel::{ChannelStatus, ErrorClass, PaymentChannel, PaymentReport};
use crate::payments::check_order::CheckOrder;
use crate::payments::fulfil::Fulfil;
use crate::platform::pushed_refund;
use crate::services::{Payments, Services};

/// A request that was in flight when the channel did not know the order has arrived after this, or never
/// will.
const FINAL_CHECK_AFTER: Duration = Duration::from_secs(300);
/// Webhooks that are enqueued at once.
const WEBHOOKS: i64 = 100;

/// The state of an order at its channel, with payments already processed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It was paid, and the payment is recorded.
    Paid,
    /// It can still be paid.
    Unpaid,
    /// It is closed, by the channel's signature, or here alone if the channel closes no orders.
    Closed,
    /// It cannot be queried before its player signs in again.
    AwaitsSignIn,
    /// The channel does not know it, by an unsigned error.
    Absent,
    /// It was paid in a way that contradicts the order: nothing was granted, and an operator must look. That
    /// is logged and counted.
    Contradicts,
}

/// Returns the rules of payments, or the refusal of a job that needs them.
pub(crate) fn payments(services: &Services) -> Result<&Payments, JobError> {
    services
        .pay
        .as_ref()
        .ok_or_else(|| job_errors::reject(ProblemCode::PaymentsDisabled))
}

/// Returns the channel of an order.
pub(crate) fn channel_of<'a>(
    services: &'a Services,
    order: &Order,
) -> Result<&'a dyn PaymentChannel, JobError> {
    payments(services)?.channels.get(order.channel)
}

/// Whether the channel has signed an offer that may still be paid: no error outweighs that.
fn has_offer(channel: &dyn PaymentChannel, order: &Order) -> bool {
    order.offered_at.is_some_and(|at| {
        let age = Timestamp::now().as_millisecond() - at;
        u128::try_from(age).is_ok_and(|age| age < channel.offer_ttl().as_millis())
    })
}

/// Queries an order at its channel. A payment is recorded at once.
pub(crate) async fn query(
    services: &Services,
    order: &Order,
    cause: Cause,
) -> Result<Standing, JobError> {
    query_and(services, order, cause, PayBack::Closed).await
}

/// Queries an order that its player cancels. If late payments are refunded, so is one that is found here,
/// by the transaction that records it: the player never has both items and money.
pub(crate) async fn query_cancelled(
    services: &Services,
    order: &Order,
) -> Result<Standing, JobError> {
    query_and(services, order, Cause::Cancel, PayBack::Always).await
}

async fn query_and(
    services: &Services,
    order: &Order,
    cause: Cause,
    pay_back: PayBack,
) -> Result<Standing, JobError> {
    let channel = channel_of(services, order)?;
    let outcome = match channel.query(order).await {
        // Test money grants nothing, unless that is wanted.
        Ok(ChannelStatus::Paid(_)) if order.sandbox && !payments(services)?.sandbox_grants => {
            return Ok(Standing::Unpaid);
        }
        Ok(ChannelStatus::Paid(report)) => {
            let outcome = apply_and(services, &report, cause, pay_back).await?;
            if outcome == CallbackOutcome::Granted && !channel.abilities().refunds {
                let PaymentReport {
                    order_number,
                    payment,
                    ..
                } = &report;
                // Its refund may have been reported while the payment was not known.
                let payment = payment.transaction_id.as_deref();
                pushed_refund::apply_waiting(services, order_number, payment).await?;
            }
            outcome
        }
        Ok(ChannelStatus::Contradictory(outcome)) => outcome,
        Ok(ChannelStatus::Closed) => return Ok(Standing::Closed),
        Ok(ChannelStatus::Unpaid) => return Ok(Standing::Unpaid),
        Err(error) if error.class == ErrorClass::Absent && !has_offer(channel, order) => {
            return Ok(Standing::Absent);
        }
        Err(error) => match error.class {
            ErrorClass::SignInAgain(key_version) => {
                let (database, now) = (&services.database, Timestamp::now());
                virtual_orders::await_sign_in(database, order, key_version, now)
                    .await
                    .map_err(job_errors::payment)?;
                tracing::info!(order_id = %order.id, "the order awaits its player's next sign-in");
                return Ok(Standing::AwaitsSignIn);
            }
            _ => return Err(error.into()),
        },
    };
    Ok(match outcome {
        CallbackOutcome::Granted | CallbackOutcome::Duplicate => Standing::Paid,
        outcome => {
            tracing::error!(order_id = %order.id, %outcome, "a paid order needs an operator");
            services.metrics.callback(outcome, order.channel);
            Standing::Contradicts
        }
    })
}

/// Records a payment that the channel reported under its signature.
pub(crate) async fn apply(
    services: &Services,
    report: &PaymentReport,
    cause: Cause,
) -> Result<CallbackOutcome, JobError> {
    apply_and(services, report, cause, PayBack::Closed).await
}

/// Records a payment and refunds it as `pay_back` says, if late payments are refunded at all.
async fn apply_and(
    services: &Services,
    report: &PaymentReport,
    cause: Cause,
    pay_back: PayBack,
) -> Result<CallbackOutcome, JobError> {
    let (database, now) = (&services.database, Timestamp::now());
    let Ok(id) = report.order_number.parse::<OrderId>() else {
        return Ok(unknown_order(&report.order_number));
    };
    let payment = &report.payment;
    if report.refunded {
        // Our own refunds are of orders that are paid here.
        let before =
            orders::refunded_elsewhere(database, id, payment.transaction_id.as_deref(), now)
                .await
                .map_err(job_errors::payment)?;
        if let Some(before) = before {
            if before.status == OrderStatus::Pending {
                services.metrics.order(OrderStatus::Closed, payment.channel);
            }
            return Ok(CallbackOutcome::RefundedThere);
        }
    }
    let pay_back = match refunds_late_payments(services, payment.channel)? {
        true => pay_back,
        false => PayBack::Never,
    };
    let paid = orders::pay(
        database,
        id,
        payment,
        cause,
        pay_back,
        services.webhooks(),
        now,
    )
    .await
    .map_err(job_errors::payment)?;
    match paid {
        Paid::Now(order, refund) => {
            announce(services, &order, payment, cause).await;
            services.analytics.relay.wake();
            if let Some(refund) = refund {
                settle(services, refund).await?;
            }
            enqueue_webhooks(services).await;
            Ok(CallbackOutcome::Granted)
        }
        Paid::Before(_) => Ok(CallbackOutcome::Duplicate),
        Paid::Mismatch(order) => {
            tracing::error!(order_id = %order.id, "a payment contradicts its order, nothing was granted");
            Ok(CallbackOutcome::Mismatch)
        }
        Paid::Unknown => Ok(unknown_order(&report.order_number)),
    }
}

/// Whether a payment that arrives after the order was closed is refunded. A channel that cannot be made to
/// refund leaves the player the items.
pub(crate) fn refunds_late_payments(
    services: &Services,
    channel: Channel,
) -> Result<bool, JobError> {
    let payments = payments(services)?;
    Ok(payments.refund_late_payments && payments.channels.get(channel)?.abilities().refunds)
}

/// Records a payment that a callback reported, together with those of other callbacks and with the callback's
/// outcome, if there is one. Returns whether it did: otherwise the payment is no common case, and [`apply`] decides.
pub(crate) async fn apply_reported(
    services: &Services,
    report: &PaymentReport,
    cause: Cause,
    callback: Option<InboxId>,
) -> Result<bool, JobError> {
    let Ok(order) = report.order_number.parse::<OrderId>() else {
        return Ok(false);
    };
    if report.refunded {
        return Ok(false);
    }
    let payment = &report.payment;
    let reported = ReportedPayment {
        order,
        payment: payment.clone(),
        cause,
        callback,
    };
    let Some(order) = payments(services)?.writer.pay(reported).await else {
        return Ok(false);
    };
    announce(services, &order, payment, cause).await;
    let event = events::paid(&order);
    services.analytics.relay.forward(&event, Timestamp::now());
    enqueue_webhooks(services).await;
    Ok(true)
}

/// Counts and logs a payment that was recorded, and has the coins of a player compared who bought some.
async fn announce(services: &Services, order: &Order, payment: &Payment, cause: Cause) {
    services.metrics.order(OrderStatus::Paid, order.channel);
    services.metrics.paid(cause, payment.at);
    tracing::info!(order_id = %order.id, %cause, "order paid");
    if order.grants_items() || order.sandbox {
        return;
    }
    let (database, now) = (&services.database, Timestamp::now());
    // If this is lost, the player's next change of coins makes up for it.
    if let Err(error) = coins::audit::enrol_buyer(database, order.user_id, now).await {
        tracing::warn!(%error, user_id = %order.user_id, "the player's coins are not compared yet");
    }
}

fn unknown_order(order_number: &str) -> CallbackOutcome {
    tracing::error!(order_number, "a payment concerns an unknown order");
    CallbackOutcome::UnknownOrder
}

/// Refunds a payment that was recorded before the player's cancellation, unless the player has used its items.
pub(crate) async fn pay_back(services: &Services, order: &Order) -> Result<(), JobError> {
    let new = NewRefund::of_late_payment(order.id);
    let refund = refunds::request(&services.database, &new, Timestamp::now())
        .await
        .map_err(job_errors::payment)?;
    settle(services, refund).await
}

/// Enqueues the submission of a refund. When that fails, the sweeper does it.
async fn settle(services: &Services, refund: Refund) -> Result<(), JobError> {
    let settle = SettleRefund {
        refund_id: refund.refund_id,
        check: refund.checks,
        wait: Duration::ZERO,
    };
    services.enqueue(&settle).await.map(drop)
}

/// Closes an order at its channel, where it may have been paid in the meantime.
pub(crate) async fn close(services: &Services, order: &Order) -> Result<Standing, JobError> {
    close_and(services, order, PayBack::Closed).await
}

/// Closes an order that its player cancels; a payment is treated as by [`query_cancelled`].
pub(crate) async fn close_cancelled(
    services: &Services,
    order: &Order,
) -> Result<Standing, JobError> {
    close_and(services, order, PayBack::Always).await
}

async fn close_and(
    services: &Services,
    order: &Order,
    pay_back: PayBack,
) -> Result<Standing, JobError> {
    let channel = channel_of(services, order)?;
    if !channel.abilities().closes {
        return Ok(Standing::Closed);
    }
    match channel.close(order).await {
        Ok(()) => Ok(Standing::Closed),
        Err(error) => match error.class {
            ErrorClass::AlreadyPaid
            | ErrorClass::QueryFirst
            | ErrorClass::Closed
            | ErrorClass::Absent => query_and(services, order, Cause::Close, pay_back).await,
            _ => Err(error.into()),
        },
    }
}

/// Ends an order that can no longer be paid, according to `standing`. One that is closed only here may have been
/// paid in its last moments, and is queried once more. The request of an order that the
/// channel merely does not know may still be in flight: it is queried once more, later.
pub(crate) async fn end(
    services: &Services,
    order: &Order,
    to: OrderStatus,
    cause: Cause,
    standing: Standing,
) -> Result<(), JobError> {
    let now = Timestamp::now();
    let closes = channel_of(services, order)?.abilities().closes;
    let id = order.id;
    let final_check = match standing {
        Standing::Closed if closes => None,
        // The query is made up for after the sign-in.
        Standing::AwaitsSignIn => None,
        _ => Some(now.checked_add(FINAL_CHECK_AFTER).unwrap_or(Timestamp::MAX)),
    };
    let ended = orders::end_unpaid(&services.database, id, to, cause, final_check, now)
        .await
        .map_err(job_errors::payment)?;
    if ended.is_some() {
        services.metrics.order(to, order.channel);
        tracing::info!(order_id = %id, status = %to, %cause, "order ended unpaid");
    }
    Ok(())
}

/// Enqueues the next query of an order; `false` when its job existed already.
pub(crate) async fn check_later(
    services: &Services,
    order_id: OrderId,
    check: i64,
    wait: Duration,
) -> Result<bool, JobError> {
    let job = CheckOrder {
        order_id,
        check,
        wait,
    };
    services.enqueue(&job).await
}

/// Enqueues webhooks that the last transactions have stored. When that fails, the sweeper does it.
pub(crate) async fn enqueue_webhooks(services: &Services) {
    if services.webhook.is_none() {
        return;
    }
    let Ok(ids) = fulfilments::to_enqueue(&services.database, WEBHOOKS).await else {
        return;
    };
    for fulfilment_id in ids {
        if services.enqueue(&Fulfil { fulfilment_id }).await.is_err() {
            return;
        }
        if let Err(error) = fulfilments::enqueued(&services.database, fulfilment_id).await {
            tracing::debug!(%error, "a webhook will be enqueued again");
        }
    }
}
