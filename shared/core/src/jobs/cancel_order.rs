//! A player cancels an order: closed at WeChat first, so that a payment that is under way wins.

use std::time::Duration;

use avalon_queue::{IdempotencyKey, Job, NewJob, QueueName, RetryPolicy};
use serde::{Deserialize, Serialize};

use crate::ids::UserId;
use crate::payments::order_rows::Order;

/// Cancels an order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CancelOrder {
    /// Which.
    pub order_id: String,
    /// The player whose it is.
    pub user_id: UserId,
}

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
    /// The job, owned by the player; one at a time for an order.
    ///
    /// # Errors
    /// When it can't be serialised, which is a defect.
    pub fn into_job(self) -> Result<NewJob, serde_json::Error> {
        let key = IdempotencyKey::new(format!("cancel:{}", self.order_id), Duration::from_secs(1));
        let owner = self.user_id.to_string();
        Ok(NewJob::of(&self)?.once_per(key).owned_by(owner))
    }
}

/// An answer that is an order.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct OrderAnswer {
    /// The order as it stands now.
    pub order: Order,
}
