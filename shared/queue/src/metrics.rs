//! The queue's metrics. Names and labels are part of the contract with operators (`docs/metrics.md`).

use std::collections::HashSet;
use std::time::Duration;

use prometheus::{
    GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    exponential_buckets,
};

use crate::job::QueueName;
use crate::store::{Consumer, Enqueued, Leased, QueueStats, Reclaimed};

const RECOVERIES: [&str; 3] = ["requeued", "exhausted", "poisoned"];
const OUTCOMES: [&str; 6] = [
    "succeeded",
    "rejected",
    "retried",
    "dead",
    "handed_back",
    "lease_lost",
];
/// A consumer that was silent for this long is not counted.
const CONSUMER_TIMEOUT: Duration = Duration::from_secs(60);

/// Counters, histograms and gauges of all queues of a process. Cheap to clone.
#[derive(Clone)]
pub struct QueueMetrics {
    enqueued: IntCounterVec,
    settled: IntCounterVec,
    recovered: IntCounterVec,
    wait: HistogramVec,
    run: HistogramVec,
    end_to_end: HistogramVec,
    places: IntGaugeVec,
    busy: IntGaugeVec,
}

impl QueueMetrics {
    /// Registers the metrics.
    ///
    /// # Errors
    /// If one of the names is already registered.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            enqueued: IntCounterVec::new(
                Opts::new(
                    "avalon_jobs_enqueued_total",
                    "Jobs accepted into the queue.",
                ),
                &["queue", "kind"],
            )?,
            settled: IntCounterVec::new(
                Opts::new(
                    "avalon_jobs_settled_total",
                    "Attempts settled, by outcome: succeeded, rejected, retried, dead, \
                     handed_back or lease_lost.",
                ),
                &["queue", "kind", "outcome"],
            )?,
            recovered: IntCounterVec::new(
                Opts::new(
                    "avalon_jobs_recovered_total",
                    "Jobs whose lease expired, by outcome: requeued, exhausted (no attempt left) \
                     or poisoned (too many expired leases).",
                ),
                &["queue", "reason"],
            )?,
            wait: histogram(
                "avalon_job_wait_seconds",
                "Time from a job being ready to being leased.",
            )?,
            run: histogram("avalon_job_run_seconds", "Duration of one attempt.")?,
            end_to_end: histogram(
                "avalon_job_end_to_end_seconds",
                "Time from enqueueing a job to its end, retries included.",
            )?,
            places: IntGaugeVec::new(
                Opts::new(
                    "avalon_pool_places",
                    "Jobs that the pool of this process can run concurrently.",
                ),
                &["queue"],
            )?,
            busy: IntGaugeVec::new(
                Opts::new(
                    "avalon_pool_busy",
                    "Jobs that the pool of this process is running or settling.",
                ),
                &["queue"],
            )?,
        };
        for collector in metrics.collectors() {
            registry.register(collector)?;
        }
        Ok(metrics)
    }

    fn collectors(&self) -> Vec<Box<dyn prometheus::core::Collector>> {
        vec![
            Box::new(self.enqueued.clone()),
            Box::new(self.settled.clone()),
            Box::new(self.recovered.clone()),
            Box::new(self.wait.clone()),
            Box::new(self.run.clone()),
            Box::new(self.end_to_end.clone()),
            Box::new(self.places.clone()),
            Box::new(self.busy.clone()),
        ]
    }

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
        for reason in RECOVERIES {
            self.recovered.with_label_values(&[queue, reason]);
        }
        for kind in kinds {
            for outcome in OUTCOMES {
                self.settled.with_label_values(&[queue, *kind, outcome]);
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

    pub(crate) fn settled(&self, queue: &QueueName, kind: &str, outcome: &str) {
        self.settled
            .with_label_values(&[queue.as_str(), kind, outcome])
            .inc();
    }

    pub(crate) fn ended(&self, queue: &QueueName, kind: &str, age: Duration) {
        self.end_to_end
            .with_label_values(&[queue.as_str(), kind])
            .observe(age.as_secs_f64());
    }

    pub(crate) fn recovered(&self, queue: &QueueName, reclaimed: Reclaimed) {
        let reasons = [
            ("requeued", reclaimed.requeued),
            ("exhausted", reclaimed.exhausted),
            ("poisoned", reclaimed.poisoned),
        ];
        for (reason, jobs) in reasons.into_iter().filter(|(_, jobs)| *jobs > 0) {
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
    let depth = IntGaugeVec::new(
        Opts::new(
            "avalon_queue_depth",
            "Jobs in the queue, by state: ready (consumer lag), running (pending in the consumer \
             group), scheduled (delayed or retrying) or dead.",
        ),
        &["queue", "state"],
    )?;
    let oldest = GaugeVec::new(
        Opts::new(
            "avalon_queue_oldest_seconds",
            "Age of the oldest ready job.",
        ),
        &["queue"],
    )?;
    let working = IntGaugeVec::new(
        Opts::new(
            "avalon_queue_consumers",
            "Pools of all processes that were active in the last minute.",
        ),
        &["queue"],
    )?;
    registry.register(Box::new(depth.clone()))?;
    registry.register(Box::new(oldest.clone()))?;
    registry.register(Box::new(working.clone()))?;
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
            depth.with_label_values(&[queue, state]).set(jobs);
        }
        let age = Duration::from_millis(stats.oldest_ready_ms).as_secs_f64();
        oldest.with_label_values(&[queue]).set(age);
        let alive = |it: &&Consumer| it.queue == stats.queue && it.silent < CONSUMER_TIMEOUT;
        // A pool has a consumer of the same name in each shard.
        let names: HashSet<&str> = consumers
            .iter()
            .filter(alive)
            .map(|it| it.name.as_str())
            .collect();
        let pools = i64::try_from(names.len()).unwrap_or(i64::MAX);
        working.with_label_values(&[queue]).set(pools);
    }
    Ok(())
}

fn histogram(name: &str, help: &str) -> Result<HistogramVec, prometheus::Error> {
    // Half a millisecond to about two and a half minutes.
    let buckets = exponential_buckets(0.0005, 2.5, 14)?;
    HistogramVec::new(
        HistogramOpts::new(name, help).buckets(buckets),
        &["queue", "kind"],
    )
}
