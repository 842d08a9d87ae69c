//! Handles `createOrder`: the order's row first, then its channel, then the parameters of the client's
//! payment call. The worker may crash between any two of these steps; the next attempt continues.

use std::net::IpAddr;
use std::sync::Arc;

use avalon_core::accounts::users;
use avalon_core::base::ids::OrderId;
use avalon_core::base::problem::ProblemCode;
use avalon_core::jobs::create_order::CreatedOrder;
use avalon_core::jobs::{self, CreateOrder};
use avalon_core::payments::order_rows::Order;
use avalon_core::payments::orders::{self, Created, NewOrder};
use avalon_core::payments::{
    Cause, Channel, EnvVersion, OrderStatus, PayWith, Platform, channel_refunds, products,
};
use avalon_queue::{JobContext, JobError};
use jiff::Timestamp;

use crate::accounts::risk::{Subject, Verdict};
use crate::job_errors;
use crate::payments::metrics::OrderRequest;
use crate::payments::offer::offer;
use crate::payments::settlement;
use crate::payments::spend_coins;
use crate::services::Services;

/// From this attempt on the request counts as unavailable, and an unknown risk as a refusal: the player
/// has waited for some seconds.
const SLOW: u32 = 6;

pub(crate) async fn handle(
    services: Arc<Services>,
    job: CreateOrder,
    context: JobContext,
) -> Result<CreatedOrder, JobError> {
    let metrics = services.metrics.clone();
    let result = create(services, job, context.attempt >= SLOW).await;
    if let Some(request) = result_of(&result, context.attempt) {
        metrics.requested(request);
    }
    result
}

/// Returns how the request ended, or that it is slow; none: it will be retried, or was counted before.
fn result_of(result: &Result<CreatedOrder, JobError>, attempt: u32) -> Option<OrderRequest> {
    match result {
        Err(JobError::Retry { .. }) => (attempt == SLOW).then_some(OrderRequest::Unavailable),
        _ if attempt > SLOW => None,
        Ok(_) => Some(OrderRequest::Offered),
        Err(JobError::Reject(failure)) => {
            let problem = jobs::problem(failure);
            let ours = problem.status >= 500 || problem.code == ProblemCode::PaymentRefused;
            Some(match ours {
                true => OrderRequest::Unavailable,
                false => OrderRequest::Refused,
            })
        }
        Err(JobError::Fail(_)) => Some(OrderRequest::Unavailable),
    }
}

async fn create(
    services: Arc<Services>,
    job: CreateOrder,
    slow: bool,
) -> Result<CreatedOrder, JobError> {
    let pay = settlement::payments(&services)?;
    if let Some(block) = pay.refund_block {
        let from = Timestamp::now()
            .checked_sub(block)
            .unwrap_or(Timestamp::MIN);
        let used = channel_refunds::has_used_refunded(&services.database, job.user_id, from).await;
        if used.map_err(job_errors::payment)? {
            return Err(job_errors::reject(ProblemCode::RefundBlocked));
        }
    }
    let channel = match job.pay_with {
        PayWith::Coins => Channel::VirtualPayment,
        PayWith::Money => match job.channel {
            Some(channel) => channel,
            None => pay.channel_of(job.platform)?,
        },
    };
    let first_query = pay.channels.get(channel)?.abilities().first_query;
    let sandbox = pay.sandbox && is_testable(job.platform, job.env_version);
    // Test coins grant nothing, unless that is wanted, and a spend is nothing but a grant.
    if sandbox && job.pay_with == PayWith::Coins && !pay.sandbox_grants {
        return Err(job_errors::reject(ProblemCode::PaymentsDisabled));
    }
    let new = NewOrder {
        platform: job.platform,
        pay_with: job.pay_with,
        request_digest: job.digest(),
        user_id: job.user_id,
        open_id: job.open_id,
        product_id: job.product_id,
        quantity: job.quantity,
        channel,
        idempotency_key: job.idempotency_key,
        holds: pay.holds,
        first_check: first_query.map_or(pay.reconcile_after, |own| own.min(pay.reconcile_after)),
    };
    let created = match pay.orders.create(&new, Timestamp::now()).await {
        Some(created) => created,
        None => create_alone(&services, &new).await?,
    };
    let id = created.order.id;
    let request = Request {
        client_ip: job.client_ip,
        pay_with: job.pay_with,
        sandbox,
        slow,
    };
    // Whatever happens from here on, the client learns which order it is about.
    proceed(&services, created, &request)
        .await
        .map_err(|error| about(error, id))
}

/// Creates what is not the common case, or says why not.
async fn create_alone(services: &Services, new: &NewOrder) -> Result<Created, JobError> {
    let database = &services.database;
    // The order may have waited in the queue; its session ended with the ban.
    let ban = users::ban_of(database, new.user_id).await;
    if ban.map_err(job_errors::user)?.is_some() {
        return Err(job_errors::reject(ProblemCode::UserBanned));
    }
    let order = orders::create(database, new, Timestamp::now()).await;
    let order = order.map_err(job_errors::payment)?;
    let product = products::by_id(database, &order.product_id).await;
    let product = product.map_err(job_errors::payment)?;
    let product = product.ok_or_else(|| job_errors::reject(ProblemCode::ProductNotFound))?;
    Ok(Created { order, product })
}

/// Whether WeChat lets this build of the game buy in the sandbox, which only the server decides: a released game
/// may not, and Apple has none.
fn is_testable(platform: Option<Platform>, version: Option<EnvVersion>) -> bool {
    matches!(version, Some(EnvVersion::Develop | EnvVersion::Trial))
        && platform != Some(Platform::Ios)
}

/// Names the order in the job's error.
fn about(error: JobError, id: OrderId) -> JobError {
    match error {
        JobError::Retry { after, failure } => JobError::Retry {
            after,
            failure: failure.about(id.to_string()),
        },
        JobError::Reject(failure) => JobError::Reject(failure.about(id.to_string())),
        JobError::Fail(failure) => JobError::Fail(failure.about(id.to_string())),
    }
}

/// How an order was requested, as far as its row does not say so yet.
struct Request {
    client_ip: Option<IpAddr>,
    pay_with: PayWith,
    sandbox: bool,
    /// Whether the player has waited for some seconds.
    slow: bool,
}

/// Has a stored order offered.
async fn proceed(
    services: &Services,
    created: Created,
    request: &Request,
) -> Result<CreatedOrder, JobError> {
    let Request {
        client_ip,
        sandbox,
        slow,
        ..
    } = *request;
    let order = &created.order;
    match order.status {
        OrderStatus::Pending => {}
        // A repeat of a spend that WeChat has confirmed.
        OrderStatus::Paid if order.pay_with == PayWith::Coins => {
            return Ok(CreatedOrder {
                order_id: order.id,
                pay_params: None,
            });
        }
        OrderStatus::Failed if order.failure.as_deref() == Some(Cause::NotEnoughCoins.as_str()) => {
            return Err(job_errors::reject(ProblemCode::NotEnoughCoins));
        }
        OrderStatus::Failed if order.failure.as_deref() == Some(Cause::Risk.as_str()) => {
            return Err(job_errors::reject(ProblemCode::RiskDenied));
        }
        OrderStatus::Failed => return Err(job_errors::reject(ProblemCode::PaymentRefused)),
        _ => return Err(job_errors::reject(ProblemCode::OrderState)),
    }
    if order.submitted_at.is_none() {
        services.metrics.order(OrderStatus::Pending, order.channel);
    }
    // From here on the order is queried, whatever happens to this job.
    let pay = settlement::payments(services)?;
    let first_query = settlement::channel_of(services, order)?
        .abilities()
        .first_query;
    let first_query = first_query.map_or(pay.reconcile_after, |own| own.min(pay.reconcile_after));
    settlement::check_later(services, order.id, order.checks, first_query).await?;
    // An order that may be known to the channel is not assessed again.
    if order.channel_request.is_none() {
        let subject = Subject {
            open_id: order.open_id.as_str(),
            client_ip,
        };
        let Services { risk, platform, .. } = services;
        match risk.of_order(platform, subject).await {
            Verdict::GoOn => {}
            // A failed order stays failed, and WeChat may answer the next attempt.
            Verdict::Unknown if !slow => {
                return Err(job_errors::retry(ProblemCode::WechatBusy));
            }
            Verdict::Deny | Verdict::Unknown => {
                deny(services, order).await?;
                return Err(job_errors::reject(ProblemCode::RiskDenied));
            }
        }
    }
    match request.pay_with {
        PayWith::Coins => spend_coins::spend(services, &created, sandbox).await,
        PayWith::Money => Ok(CreatedOrder {
            pay_params: Some(offer(services, &created, sandbox).await?),
            order_id: order.id,
        }),
    }
}

/// Ends an order that was not offered and therefore cannot be paid.
async fn deny(services: &Services, order: &Order) -> Result<(), JobError> {
    let (database, failed, now) = (&services.database, OrderStatus::Failed, Timestamp::now());
    let ended = orders::end_unpaid(database, order.id, failed, Cause::Risk, None, now)
        .await
        .map_err(job_errors::payment)?;
    if ended.is_some() {
        services.metrics.order(failed, order.channel);
        tracing::info!(order_id = %order.id, "order refused, the player is a risk");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_faults_of_wechat_and_ours_are_unavailability() {
        let rejected = |code| result_of(&Err(job_errors::reject(code)), 1);
        assert_eq!(
            rejected(ProblemCode::OutOfStock),
            Some(OrderRequest::Refused)
        );
        for ours in [ProblemCode::PaymentRefused, ProblemCode::PaymentsDisabled] {
            assert_eq!(rejected(ours), Some(OrderRequest::Unavailable));
        }
        let retried = |attempt| result_of(&Err(job_errors::retry(ProblemCode::PayBusy)), attempt);
        assert_eq!(retried(SLOW - 1), None);
        assert_eq!(retried(SLOW), Some(OrderRequest::Unavailable));
        assert_eq!(retried(SLOW + 1), None, "a request counts once");
    }
}
