//! A player cancels an order: closed at WeChat first, so that a payment that is under way wins.

use std::time::Duration;

use avalon_queue::{IdempotencyKey, Job, NewJob, QueueName, RetryPolicy};
use serde::{Deserialize, Serialize};

use crate::base::ids::UserId;
use crate::payments::order_rows::Order;

/// Cancels an order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CancelOrder {
    /// Which.
    pub order_id: String,
    /// The player whose it is.
    pub user_id: UserId,
}

/// Longer than all attempts together.
const VALID_FOR: Duration = Duration::from_secs(120);

impl Job for CancelOrder {
    const QUEUE: QueueName = super::ORDER;
    const KIND: &'static str = "cancel_order";
    const RETRY: RetryPolicy = RetryPolicy {
        max_attempts: 8,
        base: Duration::from_millis(300),
        cap: Duration::from_secs(30),
    };
    const TIME_LIMIT: Duration = Duration::from_secs(25);
    const RESULT_TTL: Duration = Duration::from_secs(600);
    type Output = OrderAnswer;
}

impl CancelOrder {
    /// The job, owned by the player; one at a time for an order. Who asked for it has seen an unpaid
    /// order: later, when it was paid and its goods used, nothing is to be cancelled or paid back any
    /// more, whoever replays this.
    ///
    /// # Errors
    /// When it can't be serialised, which is a defect.
    pub fn into_job(self) -> Result<NewJob, serde_json::Error> {
        let key = IdempotencyKey::new(format!("cancel:{}", self.order_id), Duration::from_secs(1));
        let owner = self.user_id.to_string();
        Ok(NewJob::of(&self)?
            .once_per(key)
            .owned_by(owner)
            .expiring_after(VALID_FOR))
    }
}

/// An answer that is an order.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct OrderAnswer {
    /// The order as it stands now.
    pub order: Order,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancellation_is_not_done_long_after_it_was_asked_for() {
        let cancel = CancelOrder {
            order_id: "1".to_owned(),
            user_id: UserId::new(),
        };
        let job = cancel.into_job().unwrap();
        assert_eq!(job.deadline, Some(job.enqueued_at + 120_000));
        let waits: Duration = (1..CancelOrder::RETRY.max_attempts)
            .map(|attempt| CancelOrder::RETRY.ceiling(attempt))
            .sum();
        assert!(waits < VALID_FOR, "{waits:?}");
    }
}
