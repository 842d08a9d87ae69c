//! The engines under test, each isolated by its own key prefix or file, and the job kinds of tests.
#![allow(dead_code, reason = "each test binary uses only part of this")]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use avalon_queue::{
    Handlers, Job, JobId, JobState, JobStore, NewJob, Pool, PoolSettings, QueueMetrics, QueueName,
    RedisEndpoint, RedisSettings, RedisStreams, RetryPolicy, Sqlite,
};
use avalon_test_support::{eventually, eventually_eq};
use serde::{Deserialize, Serialize};

pub(crate) const QUEUE: QueueName = QueueName::new("test");
pub(crate) const OTHER: QueueName = QueueName::new("other");
pub(crate) const LONG: Duration = Duration::from_secs(20);
pub(crate) const SHORT: Duration = Duration::from_millis(50);

/// A store with the resources that it needs.
pub(crate) struct Engine {
    pub(crate) store: Arc<dyn JobStore>,
    _folder: Option<tempfile::TempDir>,
}

pub(crate) fn redis_settings(shards: u16) -> RedisSettings {
    RedisSettings {
        prefix: avalon_test_support::unique_prefix(),
        queues: vec![QUEUE, OTHER],
        shards,
    }
}

pub(crate) fn redis_streams(url: &str, settings: RedisSettings) -> RedisStreams {
    RedisStreams::new(RedisEndpoint::new(url).unwrap(), settings)
}

pub(crate) async fn redis() -> Engine {
    let url = avalon_test_support::shared_redis_url().await;
    let store = redis_streams(&url, redis_settings(1));
    Engine {
        store: Arc::new(store),
        _folder: None,
    }
}

pub(crate) async fn redis_in_three_shards() -> Engine {
    let url = avalon_test_support::shared_redis_url().await;
    let store = redis_streams(&url, redis_settings(3));
    Engine {
        store: Arc::new(store),
        _folder: None,
    }
}

pub(crate) async fn sqlite() -> Engine {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queue.db");
    let store = Sqlite::open(&path, vec![QUEUE, OTHER]).await.unwrap();
    Engine {
        store: Arc::new(store),
        _folder: Some(folder),
    }
}

/// Runs each test on every engine.
#[macro_export]
macro_rules! on_every_engine {
    ($($test:ident),+ $(,)?) => {
        mod redis_streams {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() { super::$test($crate::engines::redis().await).await })+
        }
        mod redis_streams_in_three_shards {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() { super::$test($crate::engines::redis_in_three_shards().await).await })+
        }
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() { super::$test($crate::engines::sqlite().await).await })+
        }
    };
}

/// A job whose handler is defined by the test.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Probe {
    pub(crate) n: u64,
}

impl Job for Probe {
    const QUEUE: QueueName = QUEUE;
    const KIND: &'static str = "probe";
    const RETRY: RetryPolicy = RetryPolicy {
        max_attempts: 3,
        base: Duration::from_millis(20),
        cap: Duration::from_millis(40),
    };
    const TIME_LIMIT: Duration = Duration::from_secs(30);
    type Output = u64;
}

pub(crate) fn probe(n: u64) -> NewJob {
    NewJob::from_job(&Probe { n })
}

/// A job whose result and dead letter expire after 100 ms.
#[derive(Serialize, Deserialize)]
pub(crate) struct ShortLived;

impl Job for ShortLived {
    const QUEUE: QueueName = QUEUE;
    const KIND: &'static str = "short_memory";
    const RETRY: RetryPolicy = RetryPolicy::NEVER;
    const TIME_LIMIT: Duration = Duration::from_millis(100);
    const RESULT_TTL: Duration = Duration::from_millis(100);
    const DEAD_TTL: Option<Duration> = Some(Duration::from_millis(100));
    type Output = ();
}

pub(crate) fn metrics() -> QueueMetrics {
    QueueMetrics::new(&prometheus::Registry::new()).unwrap()
}

/// Number of runs of each job.
pub(crate) type Runs = Arc<Mutex<HashMap<u64, u32>>>;

/// Starts a pool whose handler takes 5 ms and counts the runs of each job.
pub(crate) fn start(store: &Arc<RedisStreams>, runs: &Runs) -> Pool {
    let settings = PoolSettings {
        concurrency: 16,
        block: Duration::from_millis(500),
        ..PoolSettings::default()
    };
    start_with(store, runs, settings)
}

pub(crate) fn start_with(store: &Arc<RedisStreams>, runs: &Runs, settings: PoolSettings) -> Pool {
    let runs = Arc::clone(runs);
    let handlers = Handlers::new().on::<Probe, _, _>(move |job, _| {
        let runs = Arc::clone(&runs);
        async move {
            tokio::time::sleep(Duration::from_millis(5)).await;
            *runs.lock().unwrap().entry(job.n).or_default() += 1;
            Ok(job.n)
        }
    });
    let store = Arc::clone(store) as Arc<dyn JobStore>;
    Pool::start(store, &QUEUE, Arc::new(handlers), settings, metrics())
}

/// Enqueues with retries, with the same ids each time.
pub(crate) async fn enqueue(store: &RedisStreams, jobs: Vec<NewJob>) -> Vec<JobId> {
    let enqueued = eventually(LONG, async || store.enqueue(jobs.clone()).await).await;
    enqueued
        .into_iter()
        .map(avalon_queue::Enqueued::id)
        .collect()
}

pub(crate) async fn all_succeed(store: &RedisStreams, ids: &[JobId]) {
    for id in ids {
        eventually_eq(LONG, Ok(Some(JobState::Succeeded)), async || {
            let view = store.outcome(*id, Duration::from_secs(5)).await;
            view.map(|view| view.map(|view| view.state))
                .map_err(|error| error.to_string())
        })
        .await;
    }
}
