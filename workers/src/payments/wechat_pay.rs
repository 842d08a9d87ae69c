//! Orders at WeChat Pay: offering one to its player, learning whether it was paid, closing it. What
//! WeChat's signed answers mean for an order is decided here; unsigned errors decide nothing.

use std::time::Duration;

use avalon_core::base::problem::ProblemCode;
use avalon_core::jobs::{CheckOrder, Fulfil, SettleRefund};
use avalon_core::payments::order_rows::Order;
use avalon_core::payments::orders::{self, Paid, Payment};
use avalon_core::payments::refunds::{self, NewRefund, Refund};
use avalon_core::payments::{OrderStatus, fulfilments};
use avalon_queue::JobError;
use avalon_wechat::OpenId;
use avalon_wechat::pay::{
    Description, JsapiOrder, OutTradeNo, PayErrorClass, PayParams, PrepayId, TradeState,
    Transaction,
};
use jiff::Timestamp;

use crate::job_errors;
use crate::services::{Payments, Services};

/// WeChat's offers end after this.
const OFFER_ENDS: Duration = Duration::from_secs(120 * 60);
/// One that is older than this is renewed.
const OFFER_TTL: Duration = Duration::from_secs(110 * 60);

/// A request that was on its way when WeChat did not know the order has arrived after this, or never
/// will.
const LAST_LOOK: Duration = Duration::from_secs(300);

/// What WeChat knows of an order.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It was paid, and we have acted upon it.
    Paid,
    /// It can still be paid.
    Unpaid,
    /// It is closed: WeChat's signature is under it.
    Closed,
    /// WeChat has never heard of it, as an error says that nobody has signed.
    Absent,
    /// It was paid there in a way that does not fit the order: nothing was granted, and somebody has to
    /// look. That is logged and counted.
    Contradicts,
}

pub(crate) fn payments(services: &Services) -> Result<&Payments, JobError> {
    services
        .pay
        .as_ref()
        .ok_or_else(|| job_errors::reject(ProblemCode::PaymentsDisabled))
}

fn number(order: &Order) -> Result<OutTradeNo, JobError> {
    // Our own ids are ULIDs, which are such numbers.
    OutTradeNo::parse(&order.id).map_err(|_| job_errors::reject(ProblemCode::Internal))
}

/// Has the order offered for payment, and signs what `wx.requestPayment` wants.
pub(crate) async fn offer(services: &Services, order: &Order) -> Result<PayParams, JobError> {
    let pay = payments(services)?;
    let prepay_id = match usable_offer(order) {
        Some(prepay_id) => prepay_id,
        None => submit(services, pay, order).await?,
    };
    pay.client.pay_params(&prepay_id).map_err(|error| {
        tracing::error!(%error, "pay parameters could not be signed");
        job_errors::reject(ProblemCode::Internal)
    })
}

fn usable_offer(order: &Order) -> Option<PrepayId> {
    let age = Timestamp::now().as_millisecond() - order.prepaid_at?;
    let fresh = u128::try_from(age).is_ok_and(|age| age < OFFER_TTL.as_millis());
    fresh
        .then(|| order.prepay_id.as_deref().map(PrepayId::new))
        .flatten()
}

async fn submit(services: &Services, pay: &Payments, order: &Order) -> Result<PrepayId, JobError> {
    let now = Timestamp::now();
    let body = match &order.channel_request {
        Some(body) => body.clone(),
        None => {
            let name = format!("{} x{}", order.product_name, order.quantity);
            let description = Description::lossy(&name).or_else(|| Description::lossy(&order.id));
            let request = JsapiOrder {
                out_trade_no: number(order)?,
                description: description
                    .ok_or_else(|| job_errors::reject(ProblemCode::Internal))?,
                total: order.total_fee,
                payer: OpenId::new(&order.open_id),
                time_expire: Some(order.expires_at),
                attach: None,
                client_ip: None,
            };
            // Stored before it is sent: whatever happens now, a repeat sends the same bytes.
            let body = request.to_body(pay.client.settings());
            orders::keep_request(&services.database, &order.id, &body, now)
                .await
                .map_err(job_errors::payment)?
                // Cancelled meanwhile.
                .ok_or_else(|| job_errors::reject(ProblemCode::OrderState))?
        }
    };
    let error = match pay.client.submit_order(&body).await {
        Ok(prepay_id) => {
            let order = orders::prepaid(&services.database, &order.id, prepay_id.as_str(), now)
                .await
                .map_err(job_errors::payment)?;
            if order.status != OrderStatus::Pending {
                // It ended while this was under way, and WeChat did not know it then. Should closing
                // it fail now, the last look does it.
                close(services, &order).await?;
                return Err(job_errors::reject(ProblemCode::OrderState));
            }
            return Ok(prepay_id);
        }
        Err(error) => error,
    };
    match error.class() {
        PayErrorClass::Permanent
        | PayErrorClass::QueryFirst
        | PayErrorClass::AlreadyPaid
        | PayErrorClass::Closed => {
            let permanent = error.class() == PayErrorClass::Permanent;
            tracing::warn!(%error, order_id = order.id, "WeChat did not take the order");
            match learn(services, order, "order").await? {
                Standing::Paid | Standing::Contradicts => {
                    Err(job_errors::reject(ProblemCode::OrderState))
                }
                standing @ Standing::Closed => {
                    let (to, cause) = (OrderStatus::Closed, "closed at WeChat");
                    end(services, &order.id, to, cause, standing).await?;
                    Err(job_errors::reject(ProblemCode::OrderState))
                }
                // Refused for good and never made: nobody can pay it.
                standing @ Standing::Absent if permanent => {
                    let (to, cause) = (OrderStatus::Failed, "refused by WeChat");
                    end(services, &order.id, to, cause, standing).await?;
                    Err(job_errors::reject(ProblemCode::PaymentRefused))
                }
                Standing::Absent | Standing::Unpaid => Err(job_errors::retry(ProblemCode::PayBusy)),
            }
        }
        PayErrorClass::Retry | PayErrorClass::RateLimited | PayErrorClass::Alert => {
            Err(job_errors::pay(&error))
        }
    }
}

/// Whether WeChat has signed that it knows the order, and the player may be paying just now: no error
/// outweighs that. When the offer has ended, nobody can pay it any more.
fn was_offered(order: &Order) -> bool {
    order.prepaid_at.is_some_and(|at| {
        let age = Timestamp::now().as_millisecond() - at;
        u128::try_from(age).is_ok_and(|age| age < OFFER_ENDS.as_millis())
    })
}

/// Asks WeChat, by a signed answer, where the order stands; a payment is acted upon at once.
pub(crate) async fn learn(
    services: &Services,
    order: &Order,
    cause: &str,
) -> Result<Standing, JobError> {
    let pay = payments(services)?;
    let transaction = match pay.client.query_by_out_trade_no(&number(order)?).await {
        Ok(transaction) => transaction,
        Err(error) if error.is_absent() && !was_offered(order) => return Ok(Standing::Absent),
        Err(error) => return Err(job_errors::pay(&error)),
    };
    Ok(match &transaction.trade_state {
        state if state.is_paid() => match apply(services, &transaction, cause).await? {
            "granted" | "duplicate" => Standing::Paid,
            outcome => {
                tracing::error!(
                    order_id = order.id,
                    outcome,
                    "a paid order that somebody should look at"
                );
                services.metrics.callback(outcome);
                Standing::Contradicts
            }
        },
        TradeState::Closed => Standing::Closed,
        _ => Standing::Unpaid,
    })
}

/// Acts upon a payment that WeChat has told of under its signature; answers what that did.
pub(crate) async fn apply(
    services: &Services,
    transaction: &Transaction,
    cause: &str,
) -> Result<&'static str, JobError> {
    let settings = payments(services)?.client.settings();
    if transaction.mch_id != settings.mch_id.as_str() {
        return Ok("other_merchant");
    }
    if transaction.app_id != settings.app_id.as_str() {
        return Ok("other_app");
    }
    if !transaction.trade_state.is_paid() {
        return Ok("not_paid");
    }
    let Some(transaction_id) = &transaction.transaction_id else {
        return Ok("malformed");
    };
    let now = Timestamp::now();
    let payment = Payment {
        transaction_id: transaction_id.as_str().to_owned(),
        total: transaction.amount.total,
        currency: transaction
            .amount
            .currency
            .clone()
            .unwrap_or_else(|| "CNY".to_owned()),
        at: transaction.success_time.unwrap_or(now),
    };
    let id = &transaction.out_trade_no;
    let database = &services.database;
    if transaction.trade_state == TradeState::Refund {
        // Our own refunds are of orders that we know as paid.
        let before = orders::refunded_there(database, id, transaction_id.as_str(), now)
            .await
            .map_err(job_errors::payment)?;
        if let Some(before) = before {
            if before.status == OrderStatus::Pending {
                services.metrics.order(OrderStatus::Closed);
            }
            return Ok("refunded_there");
        }
    }
    let pay_back_late = payments(services)?.refund_late_payments;
    let paid = orders::pay(database, id, &payment, cause, pay_back_late, now)
        .await
        .map_err(job_errors::payment)?;
    match paid {
        Paid::Now(order, refund) => {
            services.metrics.order(OrderStatus::Paid);
            services.metrics.paid(cause, payment.at);
            tracing::info!(order_id = order.id, cause, "order paid");
            if let Some(refund) = refund {
                settle(services, refund).await?;
            }
            announce(services).await;
            services.analytics.relay.wake();
            Ok("granted")
        }
        Paid::Before(_) => Ok("duplicate"),
        Paid::Mismatch(order) => {
            tracing::error!(
                order_id = order.id,
                "a payment does not match its order: nothing was granted"
            );
            Ok("mismatch")
        }
        Paid::Unknown => {
            tracing::error!(out_trade_no = id, "a payment of an order that is not ours");
            Ok("unknown_order")
        }
    }
}

/// The player cancelled, and the payment won: all of it goes back.
pub(crate) async fn pay_back(services: &Services, order: &Order) -> Result<(), JobError> {
    let new = NewRefund::of_late_payment(&order.id);
    let refund = refunds::request(&services.database, &new, Timestamp::now())
        .await
        .map_err(job_errors::payment)?;
    settle(services, refund).await
}

/// Has WeChat told of a refund. When that fails, the sweeper finds it.
async fn settle(services: &Services, refund: Refund) -> Result<(), JobError> {
    let settle = SettleRefund {
        refund_id: refund.refund_id,
        check: refund.checks,
    };
    follow(services, settle.into_job(Duration::ZERO))
        .await
        .map(drop)
}

/// Closes the order at WeChat, where it may have been paid in the meantime.
pub(crate) async fn close(services: &Services, order: &Order) -> Result<Standing, JobError> {
    let pay = payments(services)?;
    match pay.client.close(&number(order)?).await {
        Ok(()) => Ok(Standing::Closed),
        Err(error)
            if matches!(
                error.class(),
                PayErrorClass::AlreadyPaid | PayErrorClass::QueryFirst | PayErrorClass::Closed
            ) =>
        {
            learn(services, order, "close").await
        }
        Err(error) => Err(job_errors::pay(&error)),
    }
}

/// Ends an order that nobody can pay any more, for all that WeChat says of it. What WeChat only does
/// not know may still be on its way to it: it is asked once more, later.
pub(crate) async fn end(
    services: &Services,
    id: &str,
    to: OrderStatus,
    cause: &str,
    standing: Standing,
) -> Result<(), JobError> {
    let now = Timestamp::now();
    let last_look = match standing {
        Standing::Closed => None,
        _ => Some(now.checked_add(LAST_LOOK).unwrap_or(Timestamp::MAX)),
    };
    let ended = orders::end_unpaid(&services.database, id, to, cause, last_look, now)
        .await
        .map_err(job_errors::payment)?;
    if ended.is_some() {
        services.metrics.order(to);
        tracing::info!(order_id = id, status = %to, cause, "order ended unpaid");
    }
    Ok(())
}

/// Asks again about the order later.
pub(crate) async fn check_later(
    services: &Services,
    order_id: &str,
    check: i64,
    wait: Duration,
) -> Result<bool, JobError> {
    let check = CheckOrder {
        order_id: order_id.to_owned(),
        check,
    };
    follow(services, check.into_job(wait)).await
}

/// Enqueues a job that follows from this one; `false` when it was there already.
pub(crate) async fn follow(
    services: &Services,
    job: Result<avalon_queue::NewJob, serde_json::Error>,
) -> Result<bool, JobError> {
    let job = job.map_err(|error| {
        tracing::error!(%error, "a job could not be made");
        job_errors::reject(ProblemCode::Internal)
    })?;
    services.enqueue(job).await
}

/// Has webhooks delivered that were written in the last transaction. When that fails, the sweeper
/// finds them.
pub(crate) async fn announce(services: &Services) {
    if services.webhook.is_none() {
        return;
    }
    let Ok(ids) = fulfilments::to_enqueue(&services.database, 100).await else {
        return;
    };
    for id in ids {
        let job = Fulfil {
            fulfilment_id: id.clone(),
        }
        .into_job();
        if follow(services, job).await.is_err() {
            return;
        }
        if let Err(error) = fulfilments::enqueued(&services.database, &id).await {
            tracing::debug!(%error, "a webhook will be enqueued again");
        }
    }
}
