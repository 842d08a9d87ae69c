//! Handles `cancelOrder`: the channel closes the order first, and a payment that wins the race stands (or
//! is refunded, if so configured).

use std::sync::Arc;

use avalon_core::base::problem::ProblemCode;
use avalon_core::jobs::CancelOrder;
use avalon_core::jobs::cancel_order::OrderAnswer;
use avalon_core::payments::order_rows::{self, Order};
use avalon_core::payments::{Cause, OrderStatus};
use avalon_queue::{JobContext, JobError};

use crate::job_errors;
use crate::payments::settlement::{self, Standing};
use crate::services::Services;

pub(crate) async fn handle(
    services: Arc<Services>,
    job: CancelOrder,
    _: JobContext,
) -> Result<OrderAnswer, JobError> {
    let order = find(&services, &job).await?;
    if order.status == OrderStatus::Pending {
        // An order that was never submitted is not closed there: that would use up its number.
        let standing = match order.submitted_at {
            None => Standing::Absent,
            Some(_) => match settlement::query_cancelled(&services, &order).await? {
                Standing::Unpaid => settlement::close_cancelled(&services, &order).await?,
                standing => standing,
            },
        };
        match standing {
            Standing::Paid | Standing::Contradicts => {}
            Standing::Closed | Standing::Absent | Standing::AwaitsSignIn => {
                let (to, cause) = (OrderStatus::Closed, Cause::Cancelled);
                settlement::end(&services, &order, to, cause, standing).await?;
            }
            Standing::Unpaid => return Err(job_errors::retry(ProblemCode::PayBusy)),
        }
    }
    let mut order = find(&services, &job).await?;
    // The payment was recorded before, by its callback for example; the player had seen an unpaid order. If so
    // configured, the player's wish is met nevertheless; the refund's key makes it one. An order whose items
    // were used stays paid.
    if order.status == OrderStatus::Paid
        && settlement::refunds_late_payments(&services, order.channel)?
    {
        settlement::pay_back(&services, &order).await?;
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
    order_rows::by_id(&services.database, job.order_id)
        .await
        .map_err(job_errors::payment)?
        .filter(|order| order.user_id == job.user_id)
        .ok_or_else(|| job_errors::reject(ProblemCode::OrderNotFound))
}
