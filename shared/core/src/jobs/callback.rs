//! Processes a payment callback from the inbox. The API enqueues it, and the sweeper again when it is lost.

use std::time::Duration;

use avalon_queue::{IdempotencyKey, Job, QueueName, RetryPolicy};
use serde::{Deserialize, Serialize};

use crate::base::ids::InboxId;
use crate::payments::CallbackOutcome;

/// Processes a callback.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Callback {
    /// Its entry in the inbox.
    pub inbox_id: InboxId,
}

impl Job for Callback {
    const QUEUE: QueueName = super::CALLBACK;
    const KIND: &'static str = "callback";
    const RETRY: RetryPolicy = RetryPolicy {
        max_attempts: 12,
        base: Duration::from_secs(1),
        cap: Duration::from_secs(600),
    };
    const TIME_LIMIT: Duration = Duration::from_secs(25);
    const RESULT_TTL: Duration = Duration::from_secs(60);
    type Output = CallbackOutcome;

    /// One job per entry of the inbox.
    fn key(&self) -> Option<IdempotencyKey> {
        let key = format!("callback:{}", self.inbox_id);
        Some(IdempotencyKey::new(key, Self::RESULT_TTL))
    }
}
