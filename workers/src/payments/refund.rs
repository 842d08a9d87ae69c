//! Brings a refund to its end: tells WeChat of it, always with the same bytes, and asks until the
//! money is back. An outcome that is not known is asked for before anything is sent again.

use std::sync::Arc;
use std::time::Duration;

use avalon_core::base::problem::ProblemCode;
use avalon_core::jobs::SettleRefund;
use avalon_core::payments::order_rows::{self, Order};
use avalon_core::payments::refunds::{self, Refund};
use avalon_core::payments::{OrderStatus, RefundStatus, refund_ends};
use avalon_queue::{JobContext, JobError};
use avalon_wechat::pay::{
    Fen, OutRefundNo, OutTradeNo, PayErrorClass, Reason, Refund as Answer, RefundOf, RefundOrder,
    RefundState,
};
use jiff::Timestamp;

use crate::job_errors;
use crate::payments::wechat_pay::{self, follow, payments};
use crate::services::Services;

/// How long after each look the next one comes, seconds; the last one goes on.
const PAUSES: [u64; 8] = [2, 60, 60, 60, 300, 600, 1200, 1800];

pub(crate) fn status_of(state: &RefundState) -> Option<RefundStatus> {
    Some(match state {
        RefundState::Processing => RefundStatus::Processing,
        RefundState::Success => RefundStatus::Succeeded,
        RefundState::Closed => RefundStatus::Closed,
        RefundState::Abnormal => RefundStatus::Abnormal,
        _ => return None,
    })
}

/// Tells operators of a refund that has come to its end, and them and the game server of a changed
/// order.
pub(crate) async fn announce(
    services: &Services,
    before: &Refund,
    told: &Refund,
    changed: Option<&Order>,
) {
    if told.status != before.status {
        services.metrics.refund(told.status);
    }
    if told.status == RefundStatus::Closed && before.status != RefundStatus::Closed {
        tracing::error!(
            refund_id = told.refund_id,
            order_id = told.order_id,
            amount = told.amount,
            "a refund was closed: the player's money is not back"
        );
    }
    if let Some(order) = changed {
        // A part that was paid back brings the order to no other state.
        if order.status == OrderStatus::Refunded {
            services.metrics.order(order.status);
        }
        wechat_pay::announce(services).await;
        services.analytics.relay.wake();
    }
}

pub(crate) async fn handle(
    services: Arc<Services>,
    job: SettleRefund,
    _: JobContext,
) -> Result<Refund, JobError> {
    let refund = refunds::by_id(&services.database, &job.refund_id)
        .await
        .map_err(job_errors::payment)?
        .ok_or_else(|| job_errors::reject(ProblemCode::OrderNotFound))?;
    if matches!(
        refund.status,
        RefundStatus::Succeeded | RefundStatus::Closed
    ) {
        return Ok(refund);
    }
    let look = look_again(&services, &refund, job.check).await?;
    let answer = ask(&services, &refund).await?;
    let told = tell(&services, &refund, answer.as_ref()).await?;
    if !matches!(told.status, RefundStatus::Succeeded | RefundStatus::Closed) {
        let again = SettleRefund {
            refund_id: refund.refund_id,
            check: look.check,
        };
        follow(&services, again.into_job(look.wait)).await?;
    }
    Ok(told)
}

/// When a refund is looked at next.
struct Look {
    check: i64,
    wait: Duration,
}

/// The row is told first when to look again: a refund that WeChat keeps refusing is then looked at as
/// rarely as any other, whatever this look comes to. Only the first attempt of its own look moves it.
async fn look_again(services: &Services, refund: &Refund, check: i64) -> Result<Look, JobError> {
    let pause = |checks: i64| {
        let index = usize::try_from(checks).unwrap_or(usize::MAX);
        Duration::from_secs(PAUSES[index.min(PAUSES.len() - 1)])
    };
    if check < refund.checks {
        return Ok(Look {
            check: refund.checks,
            wait: pause(refund.checks - 1),
        });
    }
    let wait = pause(refund.checks);
    let next = Timestamp::now().checked_add(wait).unwrap_or(Timestamp::MAX);
    refunds::checked(&services.database, &refund.refund_id, next)
        .await
        .map_err(job_errors::payment)?;
    Ok(Look {
        check: refund.checks + 1,
        wait,
    })
}

/// What WeChat says of a refund, which it is told of when it does not know it. None: it refuses it for
/// good, and has never heard of it, as an error says that nobody has signed.
async fn ask(services: &Services, refund: &Refund) -> Result<Option<Answer>, JobError> {
    let internal = || job_errors::reject(ProblemCode::Internal);
    let number = OutRefundNo::parse(&refund.refund_id).map_err(|_| internal())?;
    let client = &payments(services)?.client;
    // Sent before, as far as we know: its fate is asked for first.
    if refund.channel_request.is_some() {
        match client.query_refund(&number).await {
            Ok(answer) => return Ok(Some(answer)),
            // Nobody signs that, and that there is one was signed.
            Err(error) if error.is_absent() && refund.channel_refund_id.is_none() => {}
            Err(error) => return Err(job_errors::pay(&error)),
        }
    }
    let body = request_of(services, refund, number.clone()).await?;
    let error = match client.submit_refund(&body).await {
        Ok(answer) => return Ok(Some(answer)),
        Err(error) => error,
    };
    if error.class() != PayErrorClass::Permanent {
        return Err(job_errors::pay(&error));
    }
    tracing::error!(%error, refund_id = refund.refund_id, "WeChat refuses a refund");
    match client.query_refund(&number).await {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.is_absent() => Ok(None),
        Err(error) => Err(job_errors::pay(&error)),
    }
}

/// Asks WeChat, by a signed answer, how a refund stands that ended here without one. What is opened
/// again is looked at by its row, which the sweeper finds.
pub(crate) async fn learn(services: &Services, refund: &Refund) -> Result<Refund, JobError> {
    let number = OutRefundNo::parse(&refund.refund_id)
        .map_err(|_| job_errors::reject(ProblemCode::Internal))?;
    let answer = payments(services)?.client.query_refund(&number).await;
    let answer = answer.map_err(|error| job_errors::pay(&error))?;
    tell(services, refund, Some(&answer)).await
}

async fn request_of(
    services: &Services,
    refund: &Refund,
    number: OutRefundNo,
) -> Result<String, JobError> {
    if let Some(body) = &refund.channel_request {
        return Ok(body.clone());
    }
    let internal = || job_errors::reject(ProblemCode::Internal);
    let order = order_rows::by_id(&services.database, &refund.order_id)
        .await
        .map_err(job_errors::payment)?
        .ok_or_else(internal)?;
    let request = RefundOrder {
        of: RefundOf::Order(OutTradeNo::parse(&order.id).map_err(|_| internal())?),
        out_refund_no: number,
        refund: Fen::new(refund.amount).map_err(|_| internal())?,
        total: order.total_fee,
        reason: Reason::lossy(&refund.reason),
    };
    let body = request.to_body(payments(services)?.client.settings());
    refunds::keep_request(&services.database, &refund.refund_id, &body)
        .await
        .map_err(job_errors::payment)
}

/// Acts upon what WeChat says; without an answer the refund ends.
async fn tell(
    services: &Services,
    refund: &Refund,
    answer: Option<&Answer>,
) -> Result<Refund, JobError> {
    let status = match answer {
        Some(answer) => status_of(&answer.state).unwrap_or(RefundStatus::Processing),
        None => RefundStatus::Closed,
    };
    let (told, changed) = refund_ends::told(
        &services.database,
        &refund.refund_id,
        status,
        answer.map(|answer| answer.refund_id.as_str()),
        Timestamp::now(),
    )
    .await
    .map_err(job_errors::payment)?;
    announce(services, refund, &told, changed.as_ref()).await;
    if status == RefundStatus::Succeeded && told.status != status {
        tracing::error!(
            refund_id = refund.refund_id,
            "a refund pays back more than was paid: it is not counted"
        );
    }
    Ok(told)
}
