//! Tells the game server of paid and refunded goods, by a signed webhook, for a day.

use std::time::Duration;

use avalon_queue::{IdempotencyKey, Job, NewJob, QueueName, RetryPolicy};
use serde::{Deserialize, Serialize};

/// Delivers a webhook.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Fulfil {
    /// Which.
    pub fulfilment_id: String,
}

impl Job for Fulfil {
    const QUEUE: QueueName = super::FULFIL;
    const KIND: &'static str = "fulfil";
    // With full jitter these come to about a day.
    const RETRY: RetryPolicy = RetryPolicy {
        max_attempts: 24,
        base: Duration::from_secs(2),
        cap: Duration::from_secs(4 * 3600),
    };
    const TIME_LIMIT: Duration = Duration::from_secs(30);
    const RESULT_TTL: Duration = Duration::from_secs(60);
    type Output = ();
}

impl Fulfil {
    /// The job; one for each webhook.
    ///
    /// # Errors
    /// When it can't be serialised, which is a defect.
    pub fn into_job(self) -> Result<NewJob, serde_json::Error> {
        let key = IdempotencyKey::new(format!("fulfil:{}", self.fulfilment_id), Self::RESULT_TTL);
        Ok(NewJob::of(&self)?.once_per(key))
    }
}
