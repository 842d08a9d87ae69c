//! Replaces a player's session key that may have leaked, at an operator's request.

use std::time::Duration;

use avalon_queue::{IdempotencyKey, Job, QueueName, RetryPolicy};
use avalon_wechat::OpenId;
use serde::{Deserialize, Serialize};

/// Resets the session key once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ResetSessionKey {
    /// WeChat's id of the player.
    pub open_id: OpenId,
}

impl Job for ResetSessionKey {
    const QUEUE: QueueName = super::MAINTENANCE;
    const KIND: &'static str = "reset_session_key";
    const RETRY: RetryPolicy = RetryPolicy {
        max_attempts: 5,
        base: Duration::from_millis(500),
        cap: Duration::from_secs(30),
    };
    // WeChat's answer, for which an access token may have to be fetched, and 15 s for the database: only
    // this attempt knows the new key.
    const TIME_LIMIT: Duration = Duration::from_secs(40);
    // Only a sign-in replaces a key that WeChat no longer accepts.
    const DEAD_TTL: Option<Duration> = Some(Duration::from_secs(24 * 3600));
    type Output = SessionKeyReset;

    /// One at a time per player.
    fn key(&self) -> Option<IdempotencyKey> {
        let key = format!("reset_key:{}", self.open_id);
        Some(IdempotencyKey::new(key, Duration::ZERO))
    }
}

/// Outcome of the reset. The key itself is never returned.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionKeyReset {
    /// Whether the new key was stored; false when a sign-in has brought another one meanwhile.
    pub stored: bool,
}
