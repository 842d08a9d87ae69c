//! Asks WeChat whether an unpaid order was paid; closes it when its time is over. The order's own
//! row says when it is asked about next, so that a queue that was emptied loses nothing.

use std::time::Duration;

use avalon_queue::{IdempotencyKey, Job, NewJob, QueueName, RetryPolicy};
use serde::{Deserialize, Serialize};

/// Asks about an order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CheckOrder {
    /// Which.
    pub order_id: String,
    /// The how manieth time, from 0.
    pub check: i64,
}

impl Job for CheckOrder {
    const QUEUE: QueueName = super::ORDER;
    const KIND: &'static str = "check_order";
    const RETRY: RetryPolicy = RetryPolicy {
        max_attempts: 5,
        base: Duration::from_secs(1),
        cap: Duration::from_secs(60),
    };
    const TIME_LIMIT: Duration = Duration::from_secs(25);
    const RESULT_TTL: Duration = Duration::from_secs(60);
    // The sweeper asks again from the order's row.
    const DEAD_TTL: Option<Duration> = Some(Duration::from_secs(24 * 3600));
    type Output = ();
}

impl CheckOrder {
    /// The job, due after `wait`; one for each check of an order.
    ///
    /// # Errors
    /// When it can't be serialised, which is a defect.
    pub fn into_job(self, wait: Duration) -> Result<NewJob, serde_json::Error> {
        let name = format!("check:{}:{}", self.order_id, self.check);
        let key = IdempotencyKey::new(name, Duration::from_secs(30));
        Ok(NewJob::of(&self)?.once_per(key).delayed(wait))
    }
}
