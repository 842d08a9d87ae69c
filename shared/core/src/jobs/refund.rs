//! Brings a refund to its end: tells WeChat of it, and asks until the money is back.

use std::time::Duration;

use avalon_queue::{IdempotencyKey, Job, NewJob, QueueName, RetryPolicy};
use serde::{Deserialize, Serialize};

use crate::payments::refunds::Refund;

/// Brings a refund on its way, or asks how it stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SettleRefund {
    /// Which.
    pub refund_id: String,
    /// The how manieth time, from 0.
    pub check: i64,
}

impl Job for SettleRefund {
    const QUEUE: QueueName = super::ORDER;
    const KIND: &'static str = "refund";
    const RETRY: RetryPolicy = RetryPolicy {
        max_attempts: 8,
        base: Duration::from_secs(1),
        cap: Duration::from_secs(120),
    };
    // The sweeper asks again from the refund's row.
    const DEAD_TTL: Option<Duration> = Some(Duration::from_secs(24 * 3600));
    const TIME_LIMIT: Duration = Duration::from_secs(25);
    type Output = Refund;
}

impl SettleRefund {
    /// The job, due after `wait`; one for each check of a refund.
    ///
    /// # Errors
    /// When it can't be serialised, which is a defect.
    pub fn into_job(self, wait: Duration) -> Result<NewJob, serde_json::Error> {
        let name = format!("refund:{}:{}", self.refund_id, self.check);
        let key = IdempotencyKey::new(name, Duration::from_secs(30));
        Ok(NewJob::of(&self)?.once_per(key).delayed(wait))
    }
}
