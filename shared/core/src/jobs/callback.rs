//! A payment callback from the inbox: verified, decrypted, compared and acted upon.

use std::time::Duration;

use avalon_queue::{IdempotencyKey, Job, NewJob, QueueName, RetryPolicy};
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
}

impl Callback {
    /// The job; one for each entry of the inbox.
    ///
    /// # Errors
    /// When it can't be serialised, which is a defect.
    pub fn into_job(self) -> Result<NewJob, serde_json::Error> {
        let key = IdempotencyKey::new(format!("callback:{}", self.inbox_id), Self::RESULT_TTL);
        Ok(NewJob::of(&self)?.once_per(key))
    }
}
