//! Asks WeChat whether an unpaid order was paid, less and less often, and closes it when its time is
//! over. One that ended because WeChat did not know it is asked about once more: the request may have
//! been on its way.

use std::sync::Arc;
use std::time::Duration;

use avalon_core::base::problem::ProblemCode;
use avalon_core::jobs::CheckOrder;
use avalon_core::payments::order_rows::{self, Order};
use avalon_core::payments::{OrderStatus, orders};
use avalon_queue::{JobContext, JobError};
use jiff::Timestamp;

use crate::job_errors;
use crate::payments::wechat_pay::{self, Standing};
use crate::services::Services;

/// How long after each check the next one comes, seconds; the last one goes on.
const PAUSES: [u64; 6] = [30, 60, 180, 300, 600, 1800];

pub(crate) async fn handle(
    services: Arc<Services>,
    job: CheckOrder,
    _: JobContext,
) -> Result<(), JobError> {
    let order = order_rows::by_id(&services.database, &job.order_id)
        .await
        .map_err(job_errors::payment)?;
    let now = Timestamp::now();
    match order {
        Some(order) if order.status == OrderStatus::Pending => check(&services, &order).await,
        // Checks from before its end come too early.
        Some(order)
            if order
                .next_check_at
                .is_some_and(|at| at <= now.as_millisecond()) =>
        {
            look_last(&services, &order).await
        }
        // Paid, closed or gone in the meantime.
        _ => Ok(()),
    }
}

async fn check(services: &Services, order: &Order) -> Result<(), JobError> {
    let expired = Timestamp::now() >= order.expires_at;
    let standing = match order.submitted_at {
        None => Standing::Absent,
        Some(_) => match wechat_pay::learn(services, order, "query").await? {
            Standing::Unpaid if expired => wechat_pay::close(services, order).await?,
            standing => standing,
        },
    };
    match standing {
        Standing::Paid => Ok(()),
        Standing::Absent if !expired => again(services, order).await,
        Standing::Unpaid | Standing::Contradicts => again(services, order).await,
        Standing::Closed | Standing::Absent => {
            let (to, cause) = (OrderStatus::Closed, "expired");
            wechat_pay::end(services, &order.id, to, cause, standing).await
        }
    }
}

/// Of an order that has ended.
async fn look_last(services: &Services, order: &Order) -> Result<(), JobError> {
    let standing = match wechat_pay::learn(services, order, "last look").await? {
        Standing::Unpaid => wechat_pay::close(services, order).await?,
        standing => standing,
    };
    match standing {
        Standing::Paid => Ok(()),
        Standing::Unpaid => Err(job_errors::retry(ProblemCode::PayBusy)),
        Standing::Closed | Standing::Absent | Standing::Contradicts => {
            orders::looked_last(&services.database, &order.id)
                .await
                .map_err(job_errors::payment)
        }
    }
}

/// The row is told first: should the queue lose the job, the sweeper finds the row.
async fn again(services: &Services, order: &Order) -> Result<(), JobError> {
    let now = Timestamp::now();
    let index = usize::try_from(order.checks)
        .unwrap_or(usize::MAX)
        .min(PAUSES.len() - 1);
    let left = order.expires_at.duration_since(now).unsigned_abs();
    // At its expiry at the latest; a moment after it, so that it is over then.
    let wait = Duration::from_secs(PAUSES[index]).min(left + Duration::from_millis(50));
    let next = now.checked_add(wait).unwrap_or(Timestamp::MAX);
    orders::checked(&services.database, &order.id, next)
        .await
        .map_err(job_errors::payment)?;
    wechat_pay::check_later(services, &order.id, order.checks + 1, wait)
        .await
        .map(drop)
}
