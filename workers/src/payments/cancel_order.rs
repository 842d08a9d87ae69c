//! The job behind `cancelOrder`: closes at WeChat first, and yields to a payment that wins the race.

use std::sync::Arc;

use avalon_core::base::problem::ProblemCode;
use avalon_core::jobs::CancelOrder;
use avalon_core::jobs::cancel_order::OrderAnswer;
use avalon_core::payments::OrderStatus;
use avalon_core::payments::order_rows::{self, Order};
use avalon_queue::{JobContext, JobError};

use crate::job_errors;
use crate::payments::wechat_pay::{self, Standing};
use crate::services::Services;

pub(crate) async fn handle(
    services: Arc<Services>,
    job: CancelOrder,
    _: JobContext,
) -> Result<OrderAnswer, JobError> {
    let order = find(&services, &job).await?;
    if order.status == OrderStatus::Pending {
        // What was never sent to WeChat is not closed there: that would burn its number.
        let standing = match order.submitted_at {
            None => Standing::Absent,
            Some(_) => match wechat_pay::learn(&services, &order, "cancel").await? {
                Standing::Unpaid => wechat_pay::close(&services, &order).await?,
                standing => standing,
            },
        };
        match standing {
            Standing::Paid | Standing::Contradicts => {}
            Standing::Closed | Standing::Absent => {
                let (to, cause) = (OrderStatus::Closed, "cancelled");
                wechat_pay::end(&services, &order.id, to, cause, standing).await?;
            }
            Standing::Unpaid => return Err(job_errors::retry(ProblemCode::PayBusy)),
        }
    }
    let mut order = find(&services, &job).await?;
    // The payment has won, here or before this attempt: who asked for this saw an unpaid order. What
    // the player wanted is done all the same, if so configured; the refund's key makes it one.
    if order.status == OrderStatus::Paid && wechat_pay::payments(&services)?.refund_late_payments {
        wechat_pay::pay_back(&services, &order).await?;
        order = find(&services, &job).await?;
    }
    match order.status {
        OrderStatus::Closed | OrderStatus::Refunding | OrderStatus::Refunded => {
            Ok(OrderAnswer { order })
        }
        _ => Err(job_errors::reject(ProblemCode::OrderState)),
    }
}

async fn find(services: &Services, job: &CancelOrder) -> Result<Order, JobError> {
    order_rows::by_id(&services.database, &job.order_id)
        .await
        .map_err(job_errors::payment)?
        .filter(|order| order.user_id == job.user_id)
        .ok_or_else(|| job_errors::reject(ProblemCode::OrderNotFound))
}
