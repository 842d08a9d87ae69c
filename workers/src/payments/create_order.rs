//! The job behind `createOrder`: the order's row first, then WeChat, then the parameters for
//! `wx.requestPayment`. Between any two of these steps the worker may die; the next attempt goes on.

use std::sync::Arc;

use avalon_core::base::problem::ProblemCode;
use avalon_core::jobs::create_order::CreatedOrder;
use avalon_core::jobs::{self, CreateOrder};
use avalon_core::payments::orders::{self, NewOrder};
use avalon_core::payments::{Channel, OrderStatus};
use avalon_queue::{JobContext, JobError};
use jiff::Timestamp;

use crate::accounts::risk::{Subject, Verdict};
use crate::job_errors;
use crate::metrics::OrderRequest;
use crate::payments::wechat_pay;
use crate::services::Services;

/// Why an order failed that WeChat was never told of.
const RISK: &str = "taken for a risk";

pub(crate) async fn handle(
    services: Arc<Services>,
    job: CreateOrder,
    context: JobContext,
) -> Result<CreatedOrder, JobError> {
    let metrics = services.metrics.clone();
    let last = context.attempt >= context.max_attempts;
    let answer = create(services, job, last).await;
    if let Some(request) = ended(&answer, last) {
        metrics.requested(request);
    }
    answer
}

/// How the request ended; none: it is tried again.
fn ended(answer: &Result<CreatedOrder, JobError>, last: bool) -> Option<OrderRequest> {
    match answer {
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
        Err(JobError::Retry { .. }) => last.then_some(OrderRequest::Unavailable),
    }
}

/// `last`: there is no other attempt.
async fn create(
    services: Arc<Services>,
    job: CreateOrder,
    last: bool,
) -> Result<CreatedOrder, JobError> {
    let pay = wechat_pay::payments(&services)?;
    let new = NewOrder {
        user_id: job.user_id,
        open_id: job.open_id.clone(),
        product_id: job.product_id.clone(),
        quantity: job.quantity,
        channel: Channel::WechatPay,
        request_digest: job.digest(),
        idempotency_key: job.idempotency_key,
        ttl: pay.order_ttl,
        first_check: pay.reconcile_after,
    };
    let order = orders::create(&services.database, &new, Timestamp::now())
        .await
        .map_err(job_errors::payment)?;
    match order.status {
        OrderStatus::Pending => {}
        OrderStatus::Failed if order.failure.as_deref() == Some(RISK) => {
            return Err(job_errors::reject(ProblemCode::RiskDenied));
        }
        OrderStatus::Failed => return Err(job_errors::reject(ProblemCode::PaymentRefused)),
        _ => return Err(job_errors::reject(ProblemCode::OrderState)),
    }
    if order.submitted_at.is_none() {
        services.metrics.order(OrderStatus::Pending);
    }
    // From here on somebody asks about it, whatever becomes of this job.
    wechat_pay::check_later(&services, &order.id, order.checks, pay.reconcile_after).await?;
    // What WeChat has been told of goes on.
    if order.channel_request.is_none() {
        let subject = Subject {
            open_id: &order.open_id,
            client_ip: job.client_ip,
        };
        let Services { risk, platform, .. } = &*services;
        match risk.of_order(platform, subject).await {
            Verdict::GoOn => {}
            // An order that has failed stays so, and WeChat may be back in a moment.
            Verdict::Unknown if !last => return Err(job_errors::retry(ProblemCode::WechatBusy)),
            Verdict::Deny | Verdict::Unknown => {
                deny(&services, &order.id).await?;
                return Err(job_errors::reject(ProblemCode::RiskDenied));
            }
        }
    }
    let pay_params = wechat_pay::offer(&services, &order).await?;
    Ok(CreatedOrder {
        order_id: order.id,
        pay_params,
    })
}

/// Ends an order that nobody can pay, since it was not offered.
async fn deny(services: &Services, id: &str) -> Result<(), JobError> {
    let (database, failed, now) = (&services.database, OrderStatus::Failed, Timestamp::now());
    let ended = orders::end_unpaid(database, id, failed, RISK, None, now)
        .await
        .map_err(job_errors::payment)?;
    if ended.is_some() {
        services.metrics.order(failed);
        tracing::info!(order_id = id, "an order was refused for the player's risk");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_wechats_faults_and_ours_count_against_us() {
        let rejected = |code| ended(&Err(job_errors::reject(code)), false);
        assert_eq!(
            rejected(ProblemCode::OutOfStock),
            Some(OrderRequest::Refused)
        );
        for ours in [ProblemCode::PaymentRefused, ProblemCode::PaymentsDisabled] {
            assert_eq!(rejected(ours), Some(OrderRequest::Unavailable));
        }
        let retried = |last| ended(&Err(job_errors::retry(ProblemCode::PayBusy)), last);
        assert_eq!(retried(false), None);
        assert_eq!(retried(true), Some(OrderRequest::Unavailable));
    }
}
