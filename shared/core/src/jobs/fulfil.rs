//! Tells the game server of paid and refunded goods, by a signed webhook, for more than a day.

use std::time::Duration;

use avalon_queue::{IdempotencyKey, Jitter, Job, NewJob, QueueName, RetryPolicy};
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
    // Between 32 and 65 hours.
    const RETRY: RetryPolicy = RetryPolicy {
        max_attempts: 29,
        base: Duration::from_secs(2),
        cap: Duration::from_secs(4 * 3600),
    };
    const JITTER: Jitter = Jitter::Half;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payments::fulfilments::TOO_OLD;

    #[test]
    fn a_webhook_is_tried_for_a_day_at_the_very_least() {
        let waits = 1..Fulfil::RETRY.max_attempts;
        let least: Duration = waits
            .map(|attempt| Fulfil::RETRY.floor(attempt, Fulfil::JITTER))
            .sum();
        assert!(least >= Duration::from_secs(24 * 3600), "{least:?}");
    }

    #[test]
    fn the_sweeper_knows_a_webhook_as_long_as_its_job_may_be_there() {
        let waits = 1..Fulfil::RETRY.max_attempts;
        let most: Duration = waits.map(|attempt| Fulfil::RETRY.ceiling(attempt)).sum();
        assert!(most < TOO_OLD, "{most:?}");
    }
}
