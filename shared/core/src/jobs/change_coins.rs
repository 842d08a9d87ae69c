//! Has WeChat apply a stored change of a player's coins: a spend, a return or a present.

use std::time::Duration;

use avalon_queue::{IdempotencyKey, Job, QueueName, RetryPolicy};
use serde::{Deserialize, Serialize};

use crate::payments::coins::CoinChange;

/// Makes the next attempt of a change. Its row holds when that is due, so that an emptied queue loses nothing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ChangeCoins {
    /// The change.
    pub id: String,
    /// Number of the attempt, from 0.
    pub attempt: i64,
}

impl Job for ChangeCoins {
    const QUEUE: QueueName = super::ORDER;
    const KIND: &'static str = "change_coins";
    const RETRY: RetryPolicy = RetryPolicy {
        max_attempts: 5,
        base: Duration::from_secs(1),
        cap: Duration::from_secs(30),
    };
    const TIME_LIMIT: Duration = Duration::from_secs(25);
    const RESULT_TTL: Duration = Duration::from_secs(60);
    const DEAD_TTL: Option<Duration> = Some(Duration::from_secs(24 * 3600));
    type Output = CoinChange;

    /// One job per attempt.
    fn key(&self) -> Option<IdempotencyKey> {
        let key = format!("coins:{}:{}", self.id, self.attempt);
        Some(IdempotencyKey::new(key, Duration::from_secs(30)))
    }
}
