//! The measurements, for any engine. Each leaves the queue empty, except `push`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use avalon_queue::{Handlers, JobStore, Pool, PoolSettings, QueueMetrics};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinSet;

use super::noop::{Noop, noop};
use crate::Outcome;
use crate::latencies::Latencies;

const BATCH: u64 = 100;
/// Pause between single jobs, so that the previous one is settled and the pool is idle again.
const PAUSE: Duration = Duration::from_millis(5);

/// More jobs than start between two receives.
const MAX_STARTS: usize = 10_000;

type Store = Arc<dyn JobStore>;

/// Enqueues jobs in batches; returns jobs per second until the last batch is accepted.
pub(super) async fn push(store: &Store, jobs: u64, pushers: u64) -> Outcome<f64> {
    let pushers = pushers.max(1);
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for n in 0..pushers {
        let share = jobs / pushers + u64::from(n < jobs % pushers);
        tasks.spawn(push_share(Arc::clone(store), share));
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(rate(jobs, start))
}

async fn push_share(store: Store, share: u64) -> Outcome<()> {
    let mut left = share;
    while left > 0 {
        let batch = left.min(BATCH);
        let jobs = (0..batch).map(|_| noop()).collect::<Outcome<Vec<_>>>()?;
        store.enqueue(jobs).await?;
        left -= batch;
    }
    Ok(())
}

/// Drains a backlog; returns jobs per second from the start of the first job until all are settled.
pub(super) async fn drain(store: &Store, jobs: u64, concurrency: usize) -> Outcome<f64> {
    let (pool, mut starts) = start_pool(store, concurrency)?;
    let first = starts.recv().await.ok_or("the pool has stopped")?;
    // Polled occasionally: waking up for every job would take time from the pool.
    let (mut seen, mut started) = (1, Vec::new());
    while seen < jobs {
        tokio::time::sleep(Duration::from_millis(1)).await;
        seen += starts.recv_many(&mut started, MAX_STARTS).await as u64;
        started.clear();
    }
    while !is_empty(store).await? {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let drained = rate(jobs, first);
    pool.stop().await;
    Ok(drained)
}

/// Measures the wait of single jobs on an idle pool, from before `enqueue` to their start.
pub(super) async fn waits(store: &Store, singles: u64, concurrency: usize) -> Outcome<Latencies> {
    let (pool, mut starts) = start_pool(store, concurrency)?;
    let mut waits = Latencies::default();
    // The first ones open connections and warm caches.
    for n in 0..singles + 20 {
        tokio::time::sleep(PAUSE).await;
        let job = noop()?;
        let enqueued = Instant::now();
        // The job can start before `enqueue` returns; both have happened afterwards.
        store.enqueue(vec![job]).await?;
        let started = starts.recv().await.ok_or("the pool has stopped")?;
        if n >= 20 {
            waits.add(started - enqueued);
        }
    }
    pool.stop().await;
    Ok(waits)
}

/// Starts a pool whose jobs only report their start.
fn start_pool(store: &Store, concurrency: usize) -> Outcome<(Pool, UnboundedReceiver<Instant>)> {
    let (started, starts) = unbounded_channel();
    let handlers = Handlers::new().on::<Noop, _, _>(move |_, _| {
        let _ = started.send(Instant::now());
        std::future::ready(Ok(()))
    });
    let settings = PoolSettings {
        concurrency,
        ..PoolSettings::default()
    };
    let metrics = QueueMetrics::new(&prometheus::Registry::new())?;
    let (store, queue) = (Arc::clone(store), <Noop as avalon_queue::Job>::QUEUE);
    let pool = Pool::start(store, &queue, Arc::new(handlers), settings, metrics);
    Ok((pool, starts))
}

async fn is_empty(store: &Store) -> Outcome<bool> {
    let stats = store.stats().await?;
    if stats.iter().any(|queue| queue.dead > 0) {
        return Err("there are dead letters".into());
    }
    Ok(stats
        .iter()
        .all(|queue| queue.ready + queue.running + queue.scheduled == 0))
}

#[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
fn rate(jobs: u64, since: Instant) -> f64 {
    jobs as f64 / since.elapsed().as_secs_f64()
}
