//! Erases a player, step by step. The API enqueues it, a job that has to wait its successor, and the sweeper again
//! when it is lost.

use std::time::Duration;

use avalon_queue::{IdempotencyKey, Job, QueueName, RetryPolicy};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::base::ids::ErasureId;
use crate::personal::{Erasure, Step};

/// Continues an erasure.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ErasePlayer {
    /// Its row.
    pub erasure_id: ErasureId,
    /// When its next step may be done, Unix ms.
    pub due_at: i64,
}

impl ErasePlayer {
    /// The job that continues an erasure, and the time until then.
    pub fn of(erasure: &Erasure) -> (Self, Duration) {
        let job = Self {
            erasure_id: erasure.id,
            due_at: erasure.due_at,
        };
        let wait = erasure.due_at - Timestamp::now().as_millisecond();
        (job, Duration::from_millis(u64::try_from(wait).unwrap_or(0)))
    }
}

impl Job for ErasePlayer {
    const QUEUE: QueueName = super::MAINTENANCE;
    const KIND: &'static str = "erase_player";
    const RETRY: RetryPolicy = RetryPolicy {
        max_attempts: 10,
        base: Duration::from_secs(1),
        cap: Duration::from_secs(60),
    };
    const TIME_LIMIT: Duration = Duration::from_secs(300);
    const RESULT_TTL: Duration = Duration::from_secs(600);
    type Output = ErasureProgress;

    /// One at a time for each wait.
    fn key(&self) -> Option<IdempotencyKey> {
        let key = format!("erase:{}:{}", self.erasure_id, self.due_at);
        Some(IdempotencyKey::new(key, Duration::ZERO))
    }
}

/// How far an erasure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ErasureProgress {
    /// Its row.
    pub erasure_id: ErasureId,
    /// What is done next.
    pub step: Step,
}
