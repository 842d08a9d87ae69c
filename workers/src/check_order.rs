//! Asks WeChat whether an unpaid order was paid, less and less often, and closes it when its time is
//! over.

use std::sync::Arc;
use std::time::Duration;

use avalon_core::jobs::CheckOrder;
use avalon_core::payments::order_rows::{self, Order};
use avalon_core::payments::{OrderStatus, orders};
use avalon_queue::{JobContext, JobError};
use jiff::Timestamp;

use crate::failing;
use crate::services::Services;
use crate::wechat_pay::{self, Standing};

/// How long after each check the next one comes, seconds; the last one goes on.
const PAUSES: [u64; 6] = [30, 60, 180, 300, 600, 1800];

pub(crate) async fn handle(
    services: Arc<Services>,
    job: CheckOrder,
    _: JobContext,
) -> Result<(), JobError> {
    let order = order_rows::by_id(&services.database, &job.order_id)
        .await
        .map_err(failing::payment)?;
    // Paid, cancelled or gone in the meantime.
    let Some(order) = order.filter(|order| order.status == OrderStatus::Pending) else {
        return Ok(());
    };
    let expired = Timestamp::now() >= order.expires_at;
    let standing = match order.submitted_at {
        None => Standing::Absent,
        Some(_) => match wechat_pay::learn(&services, &order, "query").await? {
            Standing::Unpaid if expired => wechat_pay::close(&services, &order).await?,
            standing => standing,
        },
    };
    match standing {
        Standing::Paid => Ok(()),
        Standing::Closed => {
            wechat_pay::end(&services, &order.id, OrderStatus::Closed, "expired").await
        }
        Standing::Absent if expired => {
            wechat_pay::end(&services, &order.id, OrderStatus::Closed, "expired").await
        }
        Standing::Absent | Standing::Unpaid => again(&services, &order).await,
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
        .map_err(failing::payment)?;
    wechat_pay::check_later(services, &order.id, order.checks + 1, wait)
        .await
        .map(drop)
}
