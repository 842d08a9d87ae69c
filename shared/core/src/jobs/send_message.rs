//! Sends a subscribe message. The API enqueues it, and the sweeper while it is queued.

use std::time::Duration;

use avalon_queue::{IdempotencyKey, Job, QueueName, RetryPolicy};
use serde::{Deserialize, Serialize};

use crate::base::ids::MessageId;
use crate::social::messages::MessageStatus;

/// Sends a message.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SendMessage {
    /// Its row.
    pub message_id: MessageId,
    /// Time until the first attempt; not part of the payload.
    #[serde(skip)]
    pub wait: Duration,
}

impl Job for SendMessage {
    const QUEUE: QueueName = super::SOCIAL;
    const KIND: &'static str = "send_message";
    const RETRY: RetryPolicy = RetryPolicy {
        max_attempts: 12,
        base: Duration::from_secs(1),
        cap: Duration::from_secs(600),
    };
    const TIME_LIMIT: Duration = Duration::from_secs(25);
    const RESULT_TTL: Duration = Duration::from_secs(60);
    type Output = MessageStatus;

    /// One job per message.
    fn key(&self) -> Option<IdempotencyKey> {
        let key = format!("message:{}", self.message_id);
        Some(IdempotencyKey::new(key, Duration::from_secs(1)))
    }

    fn delay(&self) -> Duration {
        self.wait
    }
}
