//! A new session key for a player in place of one that somebody else may have, as an operator wants it.

use std::time::Duration;

use avalon_queue::{IdempotencyKey, Job, NewJob, QueueName, RetryPolicy};
use serde::{Deserialize, Serialize};

/// Resets it once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ResetSessionKey {
    /// WeChat's id of the player.
    pub open_id: String,
}

impl Job for ResetSessionKey {
    const QUEUE: QueueName = super::MAINTENANCE;
    const KIND: &'static str = "reset_session_key";
    const RETRY: RetryPolicy = RetryPolicy {
        max_attempts: 5,
        base: Duration::from_millis(500),
        cap: Duration::from_secs(30),
    };
    // WeChat's answer, for which an access token may have to be fetched, and 15 s for the database: the
    // new key is known to nobody else.
    const TIME_LIMIT: Duration = Duration::from_secs(40);
    // A key that is dead at WeChat is mended by a sign-in alone.
    const DEAD_TTL: Option<Duration> = Some(Duration::from_secs(24 * 3600));
    type Output = SessionKeyReset;
}

impl ResetSessionKey {
    /// The job; one at a time for a player.
    ///
    /// # Errors
    /// When it can't be serialised, which is a defect.
    pub fn into_job(self) -> Result<NewJob, serde_json::Error> {
        let key = IdempotencyKey::new(format!("reset_key:{}", self.open_id), Duration::ZERO);
        Ok(NewJob::of(&self)?.once_per(key))
    }
}

/// What became of it. The key itself is told to nobody.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionKeyReset {
    /// Whether the new key is the player's key now; not so when a sign-in has brought another.
    pub stored: bool,
}
