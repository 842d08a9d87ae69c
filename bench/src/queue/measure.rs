//! The measurements: each works on any engine and leaves its queue empty or, after `push`, full.

use std::sync::Arc;
use std::time::{Duration, Instant};

use avalon_queue::{Handlers, JobStore, Pool, PoolSettings, QueueMetrics};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinSet;

use super::noop::{Noop, noop};
use crate::Outcome;
use crate::latencies::Latencies;

const BATCH: u64 = 100;
/// Between single jobs, so that the one before is settled and the pool waits again.
const PAUSE: Duration = Duration::from_millis(5);

/// More than start in a moment.
const MANY: usize = 10_000;

type Store = Arc<dyn JobStore>;

/// Enqueues so many jobs in batches; jobs per second until the last batch is accepted.
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

/// Works a backlog off; jobs per second from the start of the first job until all are settled.
pub(super) async fn drain(store: &Store, jobs: u64, concurrency: usize) -> Outcome<f64> {
    let (pool, mut starts) = start_pool(store, concurrency)?;
    let first = starts.recv().await.ok_or("the pool has ended")?;
    // Looked at now and then only: being woken by every job would take time from the pool.
    let (mut seen, mut started) = (1, Vec::new());
    while seen < jobs {
        tokio::time::sleep(Duration::from_millis(1)).await;
        seen += starts.recv_many(&mut started, MANY).await as u64;
        started.clear();
    }
    while !is_empty(store).await? {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let drained = rate(jobs, first);
    pool.stop().await;
    Ok(drained)
}

/// How long single jobs wait on an idle pool, from before they are enqueued to their start.
pub(super) async fn waits(store: &Store, singles: u64, concurrency: usize) -> Outcome<Latencies> {
    let (pool, mut starts) = start_pool(store, concurrency)?;
    let mut waits = Latencies::default();
    // The first ones make connections and warm caches.
    for n in 0..singles + 20 {
        tokio::time::sleep(PAUSE).await;
        let job = noop()?;
        let enqueued = Instant::now();
        // The start can come before the answer that the job was accepted; both have happened then.
        store.enqueue(vec![job]).await?;
        let started = starts.recv().await.ok_or("the pool has ended")?;
        if n >= 20 {
            waits.add(started - enqueued);
        }
    }
    pool.stop().await;
    Ok(waits)
}

/// A pool that tells when each job starts and does nothing else.
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
        return Err("jobs have died".into());
    }
    Ok(stats
        .iter()
        .all(|queue| queue.ready + queue.running + queue.scheduled == 0))
}

#[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
fn rate(jobs: u64, since: Instant) -> f64 {
    jobs as f64 / since.elapsed().as_secs_f64()
}
