//! Load shedding: requests whose jobs would only lengthen a queue that is far behind are refused at once, with the
//! time after which to repeat them. Without that, an overloaded service would accept work for which no client waits
//! any more, and be late for everyone. Callbacks and pushes are always accepted: WeChat gives up repeating them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use avalon_core::base::problem::{Problem, ProblemCode};
use avalon_queue::{Queue, QueueName};

use crate::middleware::metrics::GuardMetrics;

/// Age at which the waits are read again; only while requests arrive.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(500);
/// Age up to which they count. Older ones refuse nothing, so a queue that cannot be read is not behind.
const SAMPLE_TTL: Duration = Duration::from_secs(3);
/// Longest `Retry-After`. What a backlog needs to be processed is not known.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(30);

/// Decides whether a queue can take further requests of clients. Cheap to clone.
#[derive(Clone)]
pub struct Admission(Arc<Inner>);

struct Inner {
    queue: Queue,
    max_wait: Duration,
    metrics: GuardMetrics,
    sample: Mutex<Sample>,
}

/// How long the oldest ready job of each queue has been waiting.
#[derive(Default)]
struct Sample {
    taken: Option<Instant>,
    /// Set while the next sample is being taken, to the time at which that began.
    taking: Option<Instant>,
    waits: Vec<(QueueName, Duration)>,
}

impl Admission {
    /// Refuses requests for a queue whose oldest ready job has been waiting for more than `max_wait`.
    pub fn new(queue: Queue, max_wait: Duration, metrics: GuardMetrics) -> Self {
        Self(Arc::new(Inner {
            queue,
            max_wait,
            metrics,
            sample: Mutex::default(),
        }))
    }

    /// Checks that the queue is not too far behind. Never waits: the decision uses the last sample, and one that is
    /// too old is renewed in the background.
    ///
    /// # Errors
    /// `OVERLOADED`.
    pub(crate) fn check(&self, queue: &QueueName) -> Result<(), Problem> {
        let now = Instant::now();
        let (wait, renew) = self.lock().look(queue, now);
        if renew {
            tokio::spawn(self.clone().renew());
        }
        let late = wait.saturating_sub(self.0.max_wait);
        if late.is_zero() {
            return Ok(());
        }
        self.0.metrics.shed(queue);
        Err(Problem::new(ProblemCode::Overloaded).with_retry_after(late.min(MAX_RETRY_AFTER)))
    }

    async fn renew(self) {
        let stats = self.0.queue.store().stats().await;
        let mut sample = self.lock();
        sample.taking = None;
        match stats {
            Ok(stats) => {
                sample.taken = Some(Instant::now());
                let wait = |ms| Duration::from_millis(ms);
                let waits = stats
                    .into_iter()
                    .map(|q| (q.queue, wait(q.oldest_ready_ms)));
                sample.waits = waits.collect();
            }
            Err(error) => tracing::debug!(%error, "the waits of the queues could not be read"),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Sample> {
        self.0.sample.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sample {
    /// Returns the wait of the queue, zero if it is unknown, and whether the caller must take a new sample.
    fn look(&mut self, queue: &QueueName, now: Instant) -> (Duration, bool) {
        let younger = |than: Duration| move |at: Instant| now.saturating_duration_since(at) < than;
        let wait = self
            .taken
            .filter(|at| younger(SAMPLE_TTL)(*at))
            .and_then(|_| {
                let found = self.waits.iter().find(|(name, _)| name == queue);
                found.map(|(_, wait)| *wait)
            });
        let fresh = self.taken.is_some_and(younger(SAMPLE_INTERVAL));
        // One that hangs, or whose task was dropped, is given up.
        let renew = !fresh && !self.taking.is_some_and(younger(SAMPLE_TTL));
        if renew {
            self.taking = Some(now);
        }
        (wait.unwrap_or_default(), renew)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGIN: QueueName = QueueName::new("login");

    fn sample(taken: Instant) -> Sample {
        Sample {
            taken: Some(taken),
            taking: None,
            waits: vec![(LOGIN, Duration::from_secs(20))],
        }
    }

    #[test]
    fn sample_is_renewed_by_one_caller_and_counts_until_it_is_old() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut sample = sample(start);
        let late = Duration::from_secs(20);
        assert_eq!(sample.look(&LOGIN, at(499)), (late, false));
        assert_eq!(sample.look(&LOGIN, at(500)), (late, true));
        assert_eq!(sample.look(&LOGIN, at(501)), (late, false));
        assert_eq!(sample.look(&LOGIN, at(2999)), (late, false));
        assert_eq!(sample.look(&LOGIN, at(3000)), (Duration::ZERO, false));
        // The renewal that began at 500 ms is given up.
        assert_eq!(sample.look(&LOGIN, at(3500)), (Duration::ZERO, true));
    }

    #[test]
    fn unknown_queue_is_not_behind() {
        let now = Instant::now();
        let other = QueueName::new("order");
        assert_eq!(sample(now).look(&other, now), (Duration::ZERO, false));
    }
}
