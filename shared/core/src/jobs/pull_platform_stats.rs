//! Asks WeChat for its own figures of one of our days.

use std::time::Duration;

use avalon_queue::{IdempotencyKey, Job, NewJob, QueueName, RetryPolicy};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::platform::stats::Dataset;

/// Asks for a day.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PullPlatformStats {
    /// Beijing's day.
    pub day: Date,
    /// Which figures.
    pub dataset: Dataset,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pulled {
    /// The figures are kept.
    Kept,
    /// WeChat has none yet: the clock asks again.
    NotThere,
    /// They were kept before and are good still.
    NotDue,
}

impl Job for PullPlatformStats {
    const QUEUE: QueueName = super::MAINTENANCE;
    const KIND: &'static str = "pull_platform_stats";
    // The clock asks again the next hour.
    const RETRY: RetryPolicy = RetryPolicy {
        max_attempts: 4,
        base: Duration::from_secs(30),
        cap: Duration::from_secs(600),
    };
    const TIME_LIMIT: Duration = Duration::from_secs(60);
    // Repeated by the clock anyway: an account without this right must not fill the queue.
    const DEAD_TTL: Option<Duration> = Some(Duration::from_secs(24 * 3600));
    type Output = Pulled;
}

impl PullPlatformStats {
    /// The job; one at a time for a day and dataset, and the only one for `window`.
    ///
    /// # Errors
    /// When it can't be serialised, which is a defect.
    pub fn into_job(self, window: Duration) -> Result<NewJob, serde_json::Error> {
        let name = format!("platform_stats:{}:{}", self.day, self.dataset);
        Ok(NewJob::of(&self)?.once_per(IdempotencyKey::new(name, window)))
    }
}
