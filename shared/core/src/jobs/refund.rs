//! Brings a refund to its final state: submits it to the payment channel, and queries it until the money
//! has arrived.

use std::time::Duration;

use avalon_queue::{IdempotencyKey, Job, QueueName, RetryPolicy};
use serde::{Deserialize, Serialize};

use crate::base::ids::RefundId;
use crate::payments::refunds::Refund;

/// Submits or queries a refund.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SettleRefund {
    /// The refund.
    pub refund_id: RefundId,
    /// Number of the query, from 0.
    pub check: i64,
    /// Time until the first attempt; not part of the payload.
    #[serde(skip)]
    pub wait: Duration,
}

impl Job for SettleRefund {
    const QUEUE: QueueName = super::ORDER;
    const KIND: &'static str = "refund";
    const RETRY: RetryPolicy = RetryPolicy {
        max_attempts: 8,
        base: Duration::from_secs(1),
        cap: Duration::from_secs(120),
    };
    // The sweeper enqueues it again from the refund's row.
    const DEAD_TTL: Option<Duration> = Some(Duration::from_secs(24 * 3600));
    const TIME_LIMIT: Duration = Duration::from_secs(25);
    type Output = Refund;

    /// One job per query of a refund.
    fn key(&self) -> Option<IdempotencyKey> {
        let key = format!("refund:{}:{}", self.refund_id, self.check);
        Some(IdempotencyKey::new(key, Duration::from_secs(30)))
    }

    fn delay(&self) -> Duration {
        self.wait
    }
}
