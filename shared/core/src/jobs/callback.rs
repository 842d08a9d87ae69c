//! A payment callback from the inbox: verified, decrypted, compared and acted upon.

use std::time::Duration;

use avalon_queue::{IdempotencyKey, Job, QueueName, RetryPolicy};
use serde::{Deserialize, Serialize};

/// Processes a callback.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Callback {
    /// Its entry in the inbox.
    pub inbox_id: String,
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
    /// What became of it, as the inbox says.
    type Output = String;

    /// One job per entry of the inbox.
    fn key(&self) -> Option<IdempotencyKey> {
        let key = format!("callback:{}", self.inbox_id);
        Some(IdempotencyKey::new(key, Self::RESULT_TTL))
    }
}
