//! Compares a day of WeChat's bill with our orders.

use std::time::Duration;

use avalon_queue::{IdempotencyKey, Job, NewJob, QueueName, RetryPolicy};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

/// Compares a day.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reconcile {
    /// Beijing's day.
    pub day: Date,
    /// Also when it was compared before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub again: bool,
}

impl Job for Reconcile {
    const QUEUE: QueueName = super::MAINTENANCE;
    const KIND: &'static str = "reconcile";
    // The bill may be late; the clock asks again a quarter of an hour later.
    const RETRY: RetryPolicy = RetryPolicy {
        max_attempts: 4,
        base: Duration::from_secs(30),
        cap: Duration::from_secs(600),
    };
    const TIME_LIMIT: Duration = Duration::from_secs(300);
    // And it goes on asking while the day is one of the last three.
    const DEAD_TTL: Option<Duration> = Some(Duration::from_secs(24 * 3600));
    /// How many differences were found.
    type Output = usize;

    fn key(&self) -> Option<IdempotencyKey> {
        let name = format!("reconcile:{}", self.day);
        Some(match self.again {
            false => IdempotencyKey::new(name, Duration::from_secs(600)),
            // An operator asked, and may ask again at once.
            true => IdempotencyKey::new(format!("{name}:again"), Duration::ZERO),
        })
    }
}

impl Reconcile {
    /// The job; one at a time for a day.
    ///
    /// # Errors
    /// When it can't be serialised, which is a defect.
    pub fn into_job(self) -> Result<NewJob, serde_json::Error> {
        let name = format!("reconcile:{}", self.day);
        let key = match self.again {
            false => IdempotencyKey::new(name, Duration::from_secs(600)),
            // Asked for by an operator, who may ask again at once.
            true => IdempotencyKey::new(format!("{name}:again"), Duration::ZERO),
        };
        Ok(NewJob::of(&self)?.once_per(key))
    }
}
