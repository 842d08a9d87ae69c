//! The queue's metrics. Names and labels are part of the contract with operators (`docs/metrics.md`).

use std::collections::HashSet;
use std::time::Duration;

use avalon_metrics::metrics;
use prometheus::{IntGauge, Registry, exponential_buckets};
use strum::{AsRefStr, VariantArray};

use crate::job::QueueName;
use crate::store::{Consumer, Enqueued, Leased, QueueStats, Reclaimed};

/// A consumer that was silent for this long is not counted.
const CONSUMER_TIMEOUT: Duration = Duration::from_secs(60);

/// Returns the buckets of all durations, half a millisecond to about two and a half minutes.
fn seconds() -> Result<Vec<f64>, prometheus::Error> {
    exponential_buckets(0.0005, 2.5, 14)
}

metrics! {
    /// Counters, histograms and gauges of all queues of a process. Cheap to clone.
    pub struct QueueMetrics {
        /// Jobs accepted into the queue.
        enqueued: IntCounterVec["queue", "kind"] = "avalon_jobs_enqueued_total",
        /// Attempts settled, by outcome: succeeded, rejected, retried, dead, handed_back or lease_lost.
        settled: IntCounterVec["queue", "kind", "outcome"] = "avalon_jobs_settled_total",
        /// Jobs whose lease expired, by outcome: requeued, exhausted (no attempt left) or poisoned (too
        /// many expired leases).
        recovered: IntCounterVec["queue", "reason"] = "avalon_jobs_recovered_total",
        /// Time from a job being ready to being leased.
        wait: HistogramVec["queue", "kind"](seconds()?) = "avalon_job_wait_seconds",
        /// Duration of one attempt.
        run: HistogramVec["queue", "kind"](seconds()?) = "avalon_job_run_seconds",
        /// Time from enqueueing a job to its end, retries included.
        end_to_end: HistogramVec["queue", "kind"](seconds()?) = "avalon_job_end_to_end_seconds",
        /// Jobs that the pool of this process can run concurrently.
        places: IntGaugeVec["queue"] = "avalon_pool_places",
        /// Jobs that the pool of this process is running or settling.
        busy: IntGaugeVec["queue"] = "avalon_pool_busy",
    }

    /// State of the queues at the time of one scrape.
    struct QueueGauges {
        /// Jobs in the queue, by state: ready (consumer lag), running (pending in the consumer group),
        /// scheduled (delayed or retrying) or dead.
        depth: IntGaugeVec["queue", "state"] = "avalon_queue_depth",
        /// Age of the oldest ready job.
        oldest: GaugeVec["queue"] = "avalon_queue_oldest_seconds",
        /// Pools of all processes that were active in the last minute.
        consumers: IntGaugeVec["queue"] = "avalon_queue_consumers",
    }
}

/// How an attempt was settled; a label value.
#[derive(AsRefStr, Clone, Copy, Debug, PartialEq, Eq, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum Outcome {
    Succeeded,
    Rejected,
    Retried,
    Dead,
    HandedBack,
    /// Another worker settles the job.
    LeaseLost,
}

impl Outcome {
    /// Whether the job has ended.
    pub(crate) fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Rejected | Self::Dead)
    }
}

/// Returns the number of reclaimed jobs by reason, a label value.
fn reasons(reclaimed: Reclaimed) -> [(&'static str, u64); 3] {
    [
        ("requeued", reclaimed.requeued),
        ("exhausted", reclaimed.exhausted),
        ("poisoned", reclaimed.poisoned),
    ]
}

impl QueueMetrics {
    /// Counts a new job.
    pub fn enqueued(&self, queue: &QueueName, kind: &str) {
        self.enqueued
            .with_label_values(&[queue.as_str(), kind])
            .inc();
    }

    /// Counts the new jobs of a batch, given the queue and kind of each.
    pub fn enqueued_of(&self, jobs: &[Enqueued], labels: &[(QueueName, String)]) {
        for (enqueued, (queue, kind)) in jobs.iter().zip(labels) {
            if let Enqueued::New(_) = enqueued {
                self.enqueued(queue, kind);
            }
        }
    }

    /// Initialises all series of a pool: `increase()` in an alert misses the first increment of a
    /// counter that did not exist before.
    pub(crate) fn pool(&self, queue: &QueueName, kinds: &[&'static str], places: usize) {
        let queue = queue.as_str();
        let places = i64::try_from(places).unwrap_or(i64::MAX);
        self.places.with_label_values(&[queue]).set(places);
        self.busy.with_label_values(&[queue]);
        for (reason, _) in reasons(Reclaimed::default()) {
            self.recovered.with_label_values(&[queue, reason]);
        }
        for kind in kinds {
            for outcome in Outcome::VARIANTS {
                let labels = [queue, kind, outcome.as_ref()];
                self.settled.with_label_values(&labels);
            }
        }
    }

    /// Counts a job as busy until the guard is dropped.
    pub(crate) fn busy(&self, queue: &QueueName) -> Busy {
        let busy = self.busy.with_label_values(&[queue.as_str()]);
        busy.inc();
        Busy(busy)
    }

    pub(crate) fn leased(&self, leased: &Leased, now_ms: u64) {
        // The clocks of the store and this machine may differ; a wait is never negative.
        let wait = Duration::from_millis(now_ms.saturating_sub(leased.ready_at));
        let labels = [leased.job.queue.as_str(), &leased.job.kind];
        self.wait
            .with_label_values(&labels)
            .observe(wait.as_secs_f64());
    }

    pub(crate) fn ran(&self, queue: &QueueName, kind: &str, run: Duration) {
        self.run
            .with_label_values(&[queue.as_str(), kind])
            .observe(run.as_secs_f64());
    }

    pub(crate) fn settled(&self, queue: &QueueName, kind: &str, outcome: Outcome) {
        self.settled
            .with_label_values(&[queue.as_str(), kind, outcome.as_ref()])
            .inc();
    }

    pub(crate) fn ended(&self, queue: &QueueName, kind: &str, age: Duration) {
        self.end_to_end
            .with_label_values(&[queue.as_str(), kind])
            .observe(age.as_secs_f64());
    }

    pub(crate) fn recovered(&self, queue: &QueueName, reclaimed: Reclaimed) {
        let reasons = reasons(reclaimed).into_iter();
        for (reason, jobs) in reasons.filter(|(_, jobs)| *jobs > 0) {
            self.recovered
                .with_label_values(&[queue.as_str(), reason])
                .inc_by(jobs);
            tracing::warn!(%queue, reason, jobs, "reclaimed jobs whose leases had expired");
        }
    }
}

pub(crate) struct Busy(IntGauge);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Registers gauges with the current depth and consumers of the queues, for one scrape.
///
/// # Errors
/// If one of the names is already registered.
pub fn describe(
    registry: &Registry,
    stats: &[QueueStats],
    consumers: &[Consumer],
) -> Result<(), prometheus::Error> {
    let gauges = QueueGauges::new(registry)?;
    for stats in stats {
        let queue = stats.queue.as_str();
        let states = [
            ("ready", stats.ready),
            ("running", stats.running),
            ("scheduled", stats.scheduled),
            ("dead", stats.dead),
        ];
        for (state, jobs) in states {
            let jobs = i64::try_from(jobs).unwrap_or(i64::MAX);
            gauges.depth.with_label_values(&[queue, state]).set(jobs);
        }
        let age = Duration::from_millis(stats.oldest_ready_ms).as_secs_f64();
        gauges.oldest.with_label_values(&[queue]).set(age);
        let alive = |it: &&Consumer| it.queue == stats.queue && it.silent < CONSUMER_TIMEOUT;
        // A pool has a consumer of the same name in each shard.
        let names: HashSet<&str> = consumers
            .iter()
            .filter(alive)
            .map(|it| it.name.as_str())
            .collect();
        let pools = i64::try_from(names.len()).unwrap_or(i64::MAX);
        gauges.consumers.with_label_values(&[queue]).set(pools);
    }
    Ok(())
}
