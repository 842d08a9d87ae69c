//! Whether WeChat still takes a player's session key, after it did not fit what the player sent. Tells
//! a stale key from changed data, for operators alone: the player has been told to sign in either way.

use std::time::Duration;

use avalon_queue::{IdempotencyKey, Job, NewJob, QueueName, RetryPolicy};
use serde::{Deserialize, Serialize};

use crate::base::words::words;

/// Asks once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProbeSessionKey {
    /// WeChat's id of the player.
    pub open_id: String,
    /// The version of the key that did not fit.
    pub version: i64,
}

impl Job for ProbeSessionKey {
    const QUEUE: QueueName = super::MAINTENANCE;
    const KIND: &'static str = "probe_session_key";
    const RETRY: RetryPolicy = RetryPolicy {
        max_attempts: 2,
        base: Duration::from_secs(1),
        cap: Duration::from_secs(5),
    };
    const TIME_LIMIT: Duration = Duration::from_secs(20);
    const RESULT_TTL: Duration = Duration::from_secs(60);
    const DEAD_TTL: Option<Duration> = Some(Duration::from_secs(3600));
    type Output = Probed;
}

words! {
    /// What was found.
    Probed {
        /// WeChat takes the key: what the player sent was changed, or is of another player.
        Valid = "valid",
        /// WeChat does not take it, or a sign-in has replaced it meanwhile.
        Stale = "stale",
        /// WeChat did not say.
        Unknown = "unknown",
    }
}

impl ProbeSessionKey {
    /// However often a player's data do not fit, WeChat is asked once in this time.
    const PAUSE: Duration = Duration::from_secs(300);

    /// The job.
    ///
    /// # Errors
    /// When it can't be serialised, which is a defect.
    pub fn into_job(self) -> Result<NewJob, serde_json::Error> {
        let key = IdempotencyKey::new(format!("probe:{}", self.open_id), Self::PAUSE);
        Ok(NewJob::of(&self)?.once_per(key))
    }
}
