//! A pool: the apalis worker of one queue with its fetch loops, lease renewal, recovery of expired
//! leases, and graceful stop.

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

/// Limits and timeouts of a pool.
#[derive(Clone, Debug)]
pub struct PoolSettings {
    /// Maximum number of jobs that run concurrently.
    pub concurrency: usize,
    /// Time without renewal after which a lease expires and the job goes to another worker. Leases
    /// of running jobs are renewed every third of it.
    pub lease_timeout: Duration,
    /// Number of expired leases at which a job is dead-lettered: it probably crashes its workers.
    pub max_lost_leases: u32,
    /// Time that running jobs have to finish after a stop. Then they are aborted and handed back.
    pub stop_grace: Duration,
    /// Maximum duration of one blocking wait for jobs, and so of the delay before a stop is noticed.
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
    /// Starts a pool for one queue. It runs until [`Pool::stop`], also through outages of the store.
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

    /// Stops leasing, lets running jobs finish within the grace period, and hands back the others.
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
    // Never reused: leases of a dead worker cannot be mistaken for this one's.
    let consumer = format!("{queue}-{}", JobId::generate());
    let lanes = store.lanes(&queue);
    let in_flight = InFlight::default();
    metrics.pool(&queue, &handlers.kinds(&queue), settings.concurrency.max(1));
    let (settler, settling) = Settler::spawn(Arc::clone(&store), metrics.clone());

    let (jobs, leased) = mpsc::channel(settings.concurrency.max(1));
    let permits_per_lane = settings.concurrency.max(1).div_ceil(lanes.len().max(1));
    for lane in &lanes {
        let fetcher = Fetcher {
            store: Arc::clone(&store),
            lane: lane.clone(),
            consumer: consumer.clone(),
            permits: Arc::new(Semaphore::new(permits_per_lane)),
            block: settings.block,
            jobs: jobs.clone(),
            metrics: metrics.clone(),
        };
        tokio::spawn(fetcher.run(stop.clone()));
    }
    drop(jobs);

    let maintenance = Maintenance {
        store: Arc::clone(&store),
        lanes: lanes.clone(),
        consumer: consumer.clone(),
        in_flight: in_flight.clone(),
        settings: settings.clone(),
        metrics: metrics.clone(),
    };
    let maintenance = tokio::spawn(maintenance.run());

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
        tracing::warn!(%queue, jobs = in_flight.leases().len(), "grace period ended; jobs are handed back");
        in_flight.abort_all();
        // Handing back needs the store. While it is unavailable, the leases expire instead.
        if tokio::time::timeout(Duration::from_secs(5), &mut working)
            .await
            .is_err()
        {
            working.abort();
        }
    }
    maintenance.abort();
    let _ = tokio::time::timeout(Duration::from_secs(5), settling).await;
    for lane in &lanes {
        if let Err(error) = store.retire(lane, &consumer).await {
            tracing::debug!(%queue, %error, "consumer could not be removed; it expires");
        }
    }
}

/// Renews the leases of running jobs and reclaims the expired ones of dead workers.
struct Maintenance {
    store: Arc<dyn JobStore>,
    lanes: Vec<Lane>,
    consumer: String,
    in_flight: InFlight,
    settings: PoolSettings,
    metrics: QueueMetrics,
}

impl Maintenance {
    async fn run(self) {
        let mut rounds = tokio::time::interval(self.settings.lease_timeout / 3);
        rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            rounds.tick().await;
            self.renew().await;
            for lane in &self.lanes {
                self.reclaim(lane).await;
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
                    // The job was settled just now, or another worker has it: either way it must stop.
                    self.in_flight.abort(lease);
                }
            }
            Err(error) => tracing::warn!(%error, "renewing leases failed"),
        }
    }

    async fn reclaim(&self, lane: &Lane) {
        let policy = ReclaimPolicy {
            lease_timeout: self.settings.lease_timeout,
            max_lost_leases: self.settings.max_lost_leases,
        };
        match self.store.reclaim(lane, &policy).await {
            Ok(reclaimed) => self.metrics.recovered(&lane.queue, reclaimed),
            Err(error) => tracing::debug!(%error, "reclaiming expired leases failed"),
        }
    }
}
