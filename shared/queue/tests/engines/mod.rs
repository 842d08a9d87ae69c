//! The engines under test, each isolated by its own key prefix or file, and the job kinds of tests.
#![allow(dead_code, reason = "each test binary uses only part of this")]

use std::sync::Arc;
use std::time::Duration;

use avalon_queue::{
    Job, JobStore, NewJob, QueueMetrics, QueueName, RedisEndpoint, RedisSettings, RedisStreams,
    RetryPolicy, Sqlite,
};
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
