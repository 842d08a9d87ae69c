//! Processes a stored message of WeChat. The API enqueues it, and the sweeper again when it is lost.

use std::time::Duration;

use avalon_queue::{IdempotencyKey, Job, QueueName, RetryPolicy};
use serde::{Deserialize, Serialize};

use crate::base::ids::PushId;
use crate::platform::pushes::Outcome;

/// Processes a push.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProcessPush {
    /// Its row.
    pub push_id: PushId,
    /// When an operator had it processed again, Unix ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replayed_at: Option<i64>,
}

impl Job for ProcessPush {
    const QUEUE: QueueName = super::CALLBACK;
    const KIND: &'static str = "process_push";
    const RETRY: RetryPolicy = RetryPolicy {
        max_attempts: 12,
        base: Duration::from_secs(1),
        cap: Duration::from_secs(600),
    };
    const TIME_LIMIT: Duration = Duration::from_secs(25);
    const RESULT_TTL: Duration = Duration::from_secs(60);
    type Output = Outcome;

    /// One job per push, and one per replay of it.
    fn key(&self) -> Option<IdempotencyKey> {
        let key = match self.replayed_at {
            None => format!("push:{}", self.push_id),
            Some(at) => format!("push:{}:{at}", self.push_id),
        };
        Some(IdempotencyKey::new(key, Self::RESULT_TTL))
    }
}
