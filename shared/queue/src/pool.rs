//! A pool: the apalis worker of one queue with what keeps it going (fetch loops, lease renewal,
//! recovery of lost jobs) and its orderly stop.

use std::sync::Arc;
use std::time::Duration;

use apalis::prelude::WorkerBuilder;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::ack::{AckLayer, Settler};
use crate::backend::{Fetcher, StoreBackend};
use crate::handlers::Handlers;
use crate::in_flight::InFlight;
use crate::job::{JobId, QueueName};
use crate::metrics::QueueMetrics;
use crate::runner::Runner;
use crate::store::{JobStore, Lane, ReclaimPolicy};

/// How a pool works.
#[derive(Clone, Debug)]
pub struct PoolSettings {
    /// Jobs at once.
    pub concurrency: usize,
    /// A job whose worker was not heard of for this long is given to another one. Renewed three
    /// times as often while the handler runs.
    pub lease_timeout: Duration,
    /// A job that was lost this often is dead: it takes its workers down.
    pub max_lost_leases: u32,
    /// How long running jobs may take to finish after a stop; then they are aborted and handed
    /// back.
    pub stop_grace: Duration,
    /// How long one wait for jobs lasts; a stop takes at most this long to be noticed.
    pub block: Duration,
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self {
            concurrency: 64,
            lease_timeout: Duration::from_secs(30),
            max_lost_leases: 5,
            stop_grace: Duration::from_secs(25),
            block: Duration::from_secs(1),
        }
    }
}

/// A running pool.
pub struct Pool {
    stop: CancellationToken,
    done: JoinHandle<()>,
}

impl Pool {
    /// Starts a pool for one queue. It runs until [`Pool::stop`], whatever happens to the store.
    pub fn start(
        store: Arc<dyn JobStore>,
        queue: &QueueName,
        handlers: Arc<Handlers>,
        settings: PoolSettings,
        metrics: QueueMetrics,
    ) -> Self {
        let stop = CancellationToken::new();
        let queue = queue.clone();
        let done = tokio::spawn(run(store, queue, handlers, settings, metrics, stop.clone()));
        Self { stop, done }
    }

    /// Stops leasing, lets running jobs finish within the grace, hands back the others.
    pub async fn stop(self) {
        self.stop.cancel();
        let _ = self.done.await;
    }
}

async fn run(
    store: Arc<dyn JobStore>,
    queue: QueueName,
    handlers: Arc<Handlers>,
    settings: PoolSettings,
    metrics: QueueMetrics,
    stop: CancellationToken,
) {
    // Unique for ever: what was handed to a dead worker is never taken for this one's.
    let consumer = format!("{queue}-{}", JobId::generate());
    let lanes = store.lanes(&queue);
    let in_flight = InFlight::default();
    metrics.pool(&queue, &handlers.kinds(&queue), settings.concurrency.max(1));
    let (settler, settling) = Settler::spawn(Arc::clone(&store), metrics.clone());

    let (jobs, leased) = mpsc::channel(settings.concurrency.max(1));
    let places_per_lane = settings.concurrency.max(1).div_ceil(lanes.len().max(1));
    for lane in &lanes {
        let fetcher = Fetcher {
            store: Arc::clone(&store),
            lane: lane.clone(),
            consumer: consumer.clone(),
            places: Arc::new(Semaphore::new(places_per_lane)),
            block: settings.block,
            jobs: jobs.clone(),
            metrics: metrics.clone(),
        };
        tokio::spawn(fetcher.run(stop.clone()));
    }
    drop(jobs);

    let caretaker = Caretaker {
        store: Arc::clone(&store),
        lanes: lanes.clone(),
        consumer: consumer.clone(),
        in_flight: in_flight.clone(),
        settings: settings.clone(),
        metrics: metrics.clone(),
    };
    let care = tokio::spawn(caretaker.run());

    let runner = Runner {
        handlers,
        in_flight: in_flight.clone(),
        metrics: metrics.clone(),
    };
    let ack = AckLayer {
        settler,
        in_flight: in_flight.clone(),
        metrics,
    };
    let worker = WorkerBuilder::new(consumer.as_str())
        .backend(StoreBackend::new(leased, ack))
        .build(runner);
    let mut working = tokio::spawn(worker.run());

    stop.cancelled().await;
    if tokio::time::timeout(settings.block + settings.stop_grace, &mut working)
        .await
        .is_err()
    {
        tracing::warn!(%queue, jobs = in_flight.leases().len(), "the grace is over; jobs are handed back");
        in_flight.abort_all();
        // Handing back needs the store. When it is away, the leases expire by themselves.
        if tokio::time::timeout(Duration::from_secs(5), &mut working)
            .await
            .is_err()
        {
            working.abort();
        }
    }
    care.abort();
    let _ = tokio::time::timeout(Duration::from_secs(5), settling).await;
    for lane in &lanes {
        if let Err(error) = store.retire(lane, &consumer).await {
            tracing::debug!(%queue, %error, "the consumer is left for others to forget");
        }
    }
}

/// Renews the leases of running jobs and takes back those of dead workers.
struct Caretaker {
    store: Arc<dyn JobStore>,
    lanes: Vec<Lane>,
    consumer: String,
    in_flight: InFlight,
    settings: PoolSettings,
    metrics: QueueMetrics,
}

impl Caretaker {
    async fn run(self) {
        let mut rounds = tokio::time::interval(self.settings.lease_timeout / 3);
        rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            rounds.tick().await;
            self.renew().await;
            for lane in &self.lanes {
                self.recover(lane).await;
            }
        }
    }

    async fn renew(&self) {
        let leases = self.in_flight.leases();
        if leases.is_empty() {
            return;
        }
        match self.store.extend(&self.consumer, &leases).await {
            Ok(held) => {
                for (lease, _) in leases.iter().zip(held).filter(|(_, held)| !held) {
                    // Somebody else has the job. Settled in this moment, or lost: both are over.
                    self.in_flight.abort(lease);
                }
            }
            Err(error) => tracing::warn!(%error, "leases could not be renewed"),
        }
    }

    async fn recover(&self, lane: &Lane) {
        let policy = ReclaimPolicy {
            lease_timeout: self.settings.lease_timeout,
            max_lost_leases: self.settings.max_lost_leases,
        };
        match self.store.reclaim(lane, &policy).await {
            Ok(reclaimed) => self.metrics.recovered(&lane.queue, reclaimed),
            Err(error) => tracing::debug!(%error, "lost jobs could not be looked for"),
        }
    }
}
