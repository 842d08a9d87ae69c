//! Queries the channel of an unpaid order at growing intervals, and closes the order when it expires. An
//! order that ended because the channel did not know it is queried once more: its request may have been in
//! flight. The order's row holds the time of its next query, so that an emptied queue loses nothing.

use std::sync::Arc;
use std::time::Duration;

use avalon_core::base::ids::OrderId;
use avalon_core::base::problem::ProblemCode;
use avalon_core::jobs::ORDER;
use avalon_core::payments::order_rows::{self, Order};
use avalon_core::payments::{Cause, OrderStatus, orders};
use avalon_queue::{IdempotencyKey, Job, JobContext, JobError, QueueName, RetryPolicy};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::job_errors;
use crate::payments::settlement::{self, Standing};
use crate::services::Services;

/// Queries an order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct CheckOrder {
    /// The order.
    pub(crate) order_id: OrderId,
    /// Number of the query, from 0.
    pub(crate) check: i64,
    /// Time until the first attempt; not part of the payload.
    #[serde(skip)]
    pub(crate) wait: Duration,
}

impl Job for CheckOrder {
    const QUEUE: QueueName = ORDER;
    const KIND: &'static str = "check_order";
    const RETRY: RetryPolicy = RetryPolicy {
        max_attempts: 5,
        base: Duration::from_secs(1),
        cap: Duration::from_secs(60),
    };
    const TIME_LIMIT: Duration = Duration::from_secs(25);
    const RESULT_TTL: Duration = Duration::from_secs(60);
    // The sweeper enqueues it again from the order's row.
    const DEAD_TTL: Option<Duration> = Some(Duration::from_secs(24 * 3600));
    type Output = ();

    /// One job per query of an order.
    fn key(&self) -> Option<IdempotencyKey> {
        let key = format!("check:{}:{}", self.order_id, self.check);
        Some(IdempotencyKey::new(key, Duration::from_secs(30)))
    }

    fn delay(&self) -> Duration {
        self.wait
    }
}

/// Seconds from each query to the next; the last interval repeats.
const INTERVALS: [u64; 6] = [30, 60, 180, 300, 600, 1800];

pub(crate) async fn handle(
    services: Arc<Services>,
    job: CheckOrder,
    _: JobContext,
) -> Result<(), JobError> {
    let order = order_rows::by_id(&services.database, job.order_id)
        .await
        .map_err(job_errors::payment)?;
    let now = Timestamp::now();
    match order {
        Some(order) if order.status == OrderStatus::Pending => check(&services, &order).await,
        // Jobs from before the order's end are too early for its final check.
        Some(order)
            if order
                .next_check_at
                .is_some_and(|at| at <= now.as_millisecond()) =>
        {
            final_check(&services, &order).await
        }
        // Paid, closed or deleted meanwhile.
        _ => Ok(()),
    }
}

async fn check(services: &Services, order: &Order) -> Result<(), JobError> {
    let expired = Timestamp::now() >= order.expires_at;
    let standing = match order.submitted_at {
        None => Standing::Absent,
        Some(_) => match settlement::query(services, order, Cause::Query).await? {
            Standing::Unpaid if expired => settlement::close(services, order).await?,
            standing => standing,
        },
    };
    match standing {
        Standing::Paid => Ok(()),
        Standing::Absent if !expired => check_again(services, order).await,
        Standing::Unpaid | Standing::Contradicts => check_again(services, order).await,
        // Closed here; the query is made up for after the sign-in.
        Standing::AwaitsSignIn if expired => {
            let (to, cause) = (OrderStatus::Closed, Cause::Expired);
            settlement::end(services, order, to, cause, Standing::AwaitsSignIn).await
        }
        Standing::AwaitsSignIn => Ok(()),
        Standing::Closed | Standing::Absent => {
            let (to, cause) = (OrderStatus::Closed, Cause::Expired);
            settlement::end(services, order, to, cause, standing).await
        }
    }
}

/// Checks an order that has ended.
async fn final_check(services: &Services, order: &Order) -> Result<(), JobError> {
    let standing = match settlement::query(services, order, Cause::FinalQuery).await? {
        Standing::Unpaid => settlement::close(services, order).await?,
        standing => standing,
    };
    match standing {
        Standing::Paid => Ok(()),
        Standing::AwaitsSignIn => Ok(()),
        Standing::Unpaid => Err(job_errors::retry(ProblemCode::PayBusy)),
        Standing::Closed | Standing::Absent | Standing::Contradicts => {
            orders::finish_checks(&services.database, order.id)
                .await
                .map_err(job_errors::payment)
        }
    }
}

/// Schedules the next query. The row is written first: if the queue loses the job, the sweeper finds it.
async fn check_again(services: &Services, order: &Order) -> Result<(), JobError> {
    let now = Timestamp::now();
    let index = usize::try_from(order.checks)
        .unwrap_or(usize::MAX)
        .min(INTERVALS.len() - 1);
    let left = order.expires_at.duration_since(now).unsigned_abs();
    // A moment after its expiry at the latest, so that the order has expired by then.
    let wait = Duration::from_secs(INTERVALS[index]).min(left + Duration::from_millis(50));
    let next = now.checked_add(wait).unwrap_or(Timestamp::MAX);
    orders::checked(&services.database, order.id, next)
        .await
        .map_err(job_errors::payment)?;
    settlement::check_later(services, order.id, order.checks + 1, wait)
        .await
        .map(drop)
}
