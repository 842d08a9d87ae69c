//! Jobs of up to 64 queues that do nothing, with 200 bytes of payload and a stored result, as those of
//! `bare-queue`. A handler's queue is part of its type, hence a type per queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use avalon_queue::{
    Handlers, Job, JobStore, NewJob, Pool, PoolSettings, QueueMetrics, QueueName, RedisEndpoint,
    RedisSettings, RedisStreams, RetryPolicy,
};
use avalon_test_support::RedisServer;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::Outcome;

/// Most queues.
pub(super) const MAX_QUEUES: usize = 64;
/// Jobs per batch that is enqueued.
pub(super) const BATCH: u64 = 100;
const PUSHERS: u64 = 16;
const FILLER_BYTES: usize = 187;
/// The queues' names, one after the other.
const NAMES: &str = "q00q01q02q03q04q05q06q07q08q09q10q11q12q13q14q15q16q17q18q19q20q21q22q23q24q25q26q27q28q29q30q31\
    q32q33q34q35q36q37q38q39q40q41q42q43q44q45q46q47q48q49q50q51q52q53q54q55q56q57q58q59q60q61q62q63";
const NAME_BYTES: usize = 3;

/// A store as the queue's users have it.
pub(super) type Store = Arc<dyn JobStore>;

/// The job of one queue.
#[derive(Serialize, Deserialize)]
struct Spread<const N: usize> {
    filler: String,
}

/// Its result.
#[derive(Serialize, Deserialize)]
struct Done {
    done: bool,
}

const fn name(queue: usize) -> &'static str {
    let (_, rest) = NAMES.split_at(queue * NAME_BYTES);
    let (name, _) = rest.split_at(NAME_BYTES);
    name
}

impl<const N: usize> Job for Spread<N> {
    const QUEUE: QueueName = QueueName::new(name(N));
    const KIND: &'static str = "spread";
    const RETRY: RetryPolicy = RetryPolicy::NEVER;
    const TIME_LIMIT: Duration = Duration::from_secs(10);
    type Output = Done;
}

/// The queue at an index.
fn queue(index: usize) -> QueueName {
    QueueName::new(name(index % MAX_QUEUES))
}

/// The store of this many queues.
pub(super) fn store(redis_url: &str, queues: usize) -> Outcome<Store> {
    if !(1..=MAX_QUEUES).contains(&queues) {
        return Err(format!("1 to {MAX_QUEUES} queues are possible, not {queues}").into());
    }
    let settings = RedisSettings {
        prefix: "bench".to_owned(),
        queues: (0..queues).map(queue).collect(),
        shards: 1,
    };
    let endpoint = RedisEndpoint::new(redis_url)?;
    Ok(Arc::new(RedisStreams::new(endpoint, settings)))
}

/// The store in this server.
pub(super) fn store_in(redis: &RedisServer, queues: usize) -> Outcome<Store> {
    store(&redis.url(), queues)
}

/// Creates a job of a queue.
pub(super) fn job(index: usize) -> NewJob {
    let mut job = NewJob::from_job(&Spread::<0> {
        filler: "x".repeat(FILLER_BYTES),
    });
    job.queue = queue(index);
    job
}

/// Creates a batch of jobs of one queue.
pub(super) fn batch(index: usize, jobs: u64) -> Vec<NewJob> {
    (0..jobs).map(|_| job(index)).collect()
}

/// Enqueues jobs in batches, each of one queue, evenly spread.
pub(super) async fn push(store: &Store, queues: usize, jobs: u64) -> Outcome<()> {
    let batches = jobs.div_ceil(BATCH);
    let mut pushers = JoinSet::new();
    for pusher in 0..PUSHERS {
        let store = Arc::clone(store);
        pushers.spawn(async move {
            let mut number = pusher;
            while number < batches {
                let index = usize::try_from(number).unwrap_or_default() % queues;
                let jobs = BATCH.min(jobs - number * BATCH);
                store.enqueue(batch(index, jobs)).await?;
                number += PUSHERS;
            }
            Ok::<_, avalon_queue::StoreError>(())
        });
    }
    while let Some(pusher) = pushers.join_next().await {
        pusher??;
    }
    Ok(())
}

/// Number of jobs that have not ended.
pub(super) async fn waiting(store: &Store) -> Outcome<u64> {
    let stats = store.stats().await?;
    if stats.iter().any(|queue| queue.dead > 0) {
        return Err("there are dead letters".into());
    }
    let waiting = stats
        .iter()
        .map(|queue| queue.ready + queue.running + queue.scheduled);
    Ok(waiting.sum())
}

/// Starts a pool per queue, as a worker process does. `started` counts the jobs that have started.
pub(super) fn start(
    store: &Store,
    queues: usize,
    concurrency: usize,
    started: &Arc<AtomicU64>,
) -> Outcome<Vec<Pool>> {
    let handlers = Arc::new(handlers(started));
    let metrics = QueueMetrics::new(&prometheus::Registry::new())?;
    let settings = PoolSettings {
        concurrency,
        ..PoolSettings::default()
    };
    let pools = (0..queues).map(|index| {
        let (store, handlers) = (Arc::clone(store), Arc::clone(&handlers));
        Pool::start(
            store,
            &queue(index),
            handlers,
            settings.clone(),
            metrics.clone(),
        )
    });
    Ok(pools.collect())
}

/// Stops the pools at once.
pub(super) async fn stop(pools: Vec<Pool>) {
    let mut stopping: JoinSet<()> = pools.into_iter().map(Pool::stop).collect();
    while stopping.join_next().await.is_some() {}
}

/// The handlers of all queues.
fn handlers(started: &Arc<AtomicU64>) -> Handlers {
    macro_rules! of {
        ($($queue:literal)*) => {
            Handlers::new()$(.on::<Spread<$queue>, _, _>(handler(started)))*
        };
    }
    of!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31
        32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63)
}

fn handler<J>(
    started: &Arc<AtomicU64>,
) -> impl Fn(J, avalon_queue::JobContext) -> std::future::Ready<Result<Done, avalon_queue::JobError>>
+ Send
+ Sync
+ 'static
+ use<J> {
    let started = Arc::clone(started);
    move |_, _| {
        started.fetch_add(1, Ordering::Relaxed);
        std::future::ready(Ok(Done { done: true }))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_queue_has_a_name_and_a_handler() {
        let names: BTreeSet<String> = (0..MAX_QUEUES).map(|n| queue(n).to_string()).collect();
        assert_eq!(names.len(), MAX_QUEUES);
        let handlers = handlers(&Arc::default());
        let handled: BTreeSet<String> = handlers.queues().map(ToString::to_string).collect();
        assert_eq!(handled, names);
    }

    #[test]
    fn payload_has_the_documented_size() {
        let job = job(63);
        assert_eq!((job.payload.get().len(), job.queue.as_str()), (200, "q63"));
    }
}
