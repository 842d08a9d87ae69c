//! Compares a day of the payment channels' statements with our orders. Enqueued by the schedule, and by an
//! operator through the CLI.

use std::time::Duration;

use avalon_queue::{IdempotencyKey, Job, QueueName, RetryPolicy};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

/// Compares a day.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reconcile {
    /// The day in Beijing.
    pub day: Date,
    /// Compares the day even if it was compared before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub again: bool,
}

impl Job for Reconcile {
    const QUEUE: QueueName = super::MAINTENANCE;
    const KIND: &'static str = "reconcile";
    // A statement may be late; the schedule enqueues the day again a quarter of an hour later.
    const RETRY: RetryPolicy = RetryPolicy {
        max_attempts: 4,
        base: Duration::from_secs(30),
        cap: Duration::from_secs(600),
    };
    const TIME_LIMIT: Duration = Duration::from_secs(300);
    // And continues to do so while the day is one of the last three.
    const DEAD_TTL: Option<Duration> = Some(Duration::from_secs(24 * 3600));
    /// Number of differences.
    type Output = usize;

    /// One comparison of a day at a time. An operator may request the next one at once.
    fn key(&self) -> Option<IdempotencyKey> {
        let day = self.day;
        Some(match self.again {
            false => IdempotencyKey::new(format!("reconcile:{day}"), Duration::from_secs(600)),
            true => IdempotencyKey::new(format!("reconcile:{day}:again"), Duration::ZERO),
        })
    }
}
