//! Cancels an order for its player. The channel closes it first, so that a payment in flight wins.

use std::time::Duration;

use avalon_queue::{IdempotencyKey, Job, QueueName, RetryPolicy};
use serde::{Deserialize, Serialize};

use crate::base::ids::{OrderId, UserId};
use crate::payments::order_rows::Order;

/// Cancels an order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CancelOrder {
    /// The order.
    pub order_id: OrderId,
    /// The player who owns it.
    pub user_id: UserId,
}

/// The time in which a player still expects the cancellation, through an outage of a minute.
const VALID_FOR: Duration = Duration::from_secs(120);

impl Job for CancelOrder {
    const QUEUE: QueueName = super::ORDER;
    const KIND: &'static str = "cancel_order";
    // `valid_for` ends it, not the number of attempts.
    const RETRY: RetryPolicy = RetryPolicy {
        max_attempts: 1000,
        base: Duration::from_millis(300),
        cap: Duration::from_secs(5),
    };
    const TIME_LIMIT: Duration = Duration::from_secs(25);
    const RESULT_TTL: Duration = Duration::from_secs(600);
    type Output = OrderAnswer;

    /// One cancellation of an order at a time.
    fn key(&self) -> Option<IdempotencyKey> {
        let key = format!("cancel:{}", self.order_id);
        Some(IdempotencyKey::new(key, Duration::from_secs(1)))
    }

    fn owner(&self) -> Option<String> {
        Some(self.user_id.to_string())
    }

    /// The player has seen an unpaid order. Once it is paid and its items are used, a replayed cancellation
    /// must not refund it.
    fn valid_for(&self) -> Option<Duration> {
        Some(VALID_FOR)
    }
}

/// A response that consists of an order.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct OrderAnswer {
    /// The order in its current state.
    pub order: Order,
}

#[cfg(test)]
mod tests {
    use avalon_queue::NewJob;

    use super::*;

    #[test]
    fn a_cancellation_is_retried_until_it_expires() {
        let cancel = CancelOrder {
            order_id: OrderId::new(),
            user_id: UserId::new(),
        };
        let job = NewJob::from_job(&cancel);
        assert_eq!(job.deadline, Some(job.enqueued_at + 120_000));
        let attempts = CancelOrder::RETRY.cap * CancelOrder::RETRY.max_attempts;
        assert!(attempts > 10 * VALID_FOR, "{attempts:?}");
    }
}
