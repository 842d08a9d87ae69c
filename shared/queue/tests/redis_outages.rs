//! The Redis engine during faults: a server that is down, killed, frozen or emptied, and entries that
//! cannot be decoded; and on a Cluster. Each test has its own server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed expectation fails the test"
)]

mod engines;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use avalon_queue::{
    Handlers, JobId, JobState, JobStore, NewJob, Pool, PoolSettings, RedisStreams, StoreError,
};
use avalon_test_support::{RedisCluster, RedisServer, eventually, eventually_eq};
use engines::{LONG, Probe, QUEUE, metrics, probe, redis_settings, redis_streams};

type Runs = Arc<Mutex<HashMap<u64, u32>>>;

fn store_of(server: &RedisServer) -> Arc<RedisStreams> {
    Arc::new(redis_streams(&server.url(), redis_settings(1)))
}

/// Starts a pool whose handler takes 5 ms and counts the runs of each job.
fn start(store: &Arc<RedisStreams>, runs: &Runs) -> Pool {
    let runs = Arc::clone(runs);
    let handlers = Handlers::new().on::<Probe, _, _>(move |job, _| {
        let runs = Arc::clone(&runs);
        async move {
            tokio::time::sleep(Duration::from_millis(5)).await;
            *runs.lock().unwrap().entry(job.n).or_default() += 1;
            Ok(job.n)
        }
    });
    let settings = PoolSettings {
        concurrency: 16,
        block: Duration::from_millis(500),
        ..PoolSettings::default()
    };
    let store = Arc::clone(store) as Arc<dyn JobStore>;
    Pool::start(store, &QUEUE, Arc::new(handlers), settings, metrics())
}

/// Enqueues with retries, with the same ids each time.
async fn enqueue(store: &RedisStreams, jobs: Vec<NewJob>) -> Vec<JobId> {
    let enqueued = eventually(LONG, async || store.enqueue(jobs.clone()).await).await;
    enqueued
        .into_iter()
        .map(avalon_queue::Enqueued::id)
        .collect()
}

async fn all_succeed(store: &RedisStreams, ids: &[JobId]) {
    for id in ids {
        eventually_eq(LONG, Ok(Some(JobState::Succeeded)), async || {
            let view = store.outcome(*id, Duration::from_secs(5)).await;
            view.map(|view| view.map(|view| view.state))
                .map_err(|error| error.to_string())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pool_starts_while_redis_is_down() {
    let mut server = RedisServer::reserve();
    let store = store_of(&server);
    let runs = Runs::default();
    let pool = start(&store, &runs);
    let refused = store.enqueue(vec![probe(0)]).await;
    assert!(
        matches!(refused, Err(StoreError::Unavailable(_))),
        "{refused:?}"
    );
    server.launch().await;
    let ids = enqueue(&store, (0..20).map(probe).collect()).await;
    all_succeed(&store, &ids).await;
    pool.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_restarts_lose_no_jobs_and_stop_no_worker() {
    let mut server = RedisServer::start().await;
    let store = store_of(&server);
    let runs = Runs::default();
    let pool = start(&store, &runs);
    let mut ids = Vec::new();
    for round in 0..3 {
        ids.extend(
            enqueue(
                &store,
                (round * 500..round * 500 + 500).map(probe).collect(),
            )
            .await,
        );
        // While jobs are running.
        server.stop();
        tokio::time::sleep(Duration::from_millis(100)).await;
        server.restart().await;
    }
    all_succeed(&store, &ids).await;
    let stats = store.stats().await.unwrap().remove(0);
    assert_eq!(
        (stats.ready, stats.running, stats.scheduled, stats.dead),
        (0, 0, 0, 0)
    );
    assert_eq!(runs.lock().unwrap().len(), 1500, "every job ran");
    pool.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_recover_after_redis_hangs_for_ten_seconds() {
    let server = RedisServer::start().await;
    let store = store_of(&server);
    let runs = Runs::default();
    let pool = start(&store, &runs);
    let ids = enqueue(&store, (0..200).map(probe).collect()).await;
    server.freeze();
    let frozen = Instant::now();
    let refused = store.enqueue(vec![probe(9999)]).await;
    assert!(
        matches!(refused, Err(StoreError::Unavailable(_))),
        "{refused:?}"
    );
    assert!(
        frozen.elapsed() < Duration::from_secs(5),
        "callers get an error in time"
    );
    tokio::time::sleep(Duration::from_secs(10).saturating_sub(frozen.elapsed())).await;
    server.thaw();

    let thawed = Instant::now();
    let late = enqueue(&store, (200..220).map(probe).collect()).await;
    all_succeed(&store, &ids).await;
    all_succeed(&store, &late).await;
    // Entries that were delivered to an abandoned connection are recovered at once, not when their
    // lease of 30 s expires.
    assert!(
        thawed.elapsed() < Duration::from_secs(15),
        "{:?}",
        thawed.elapsed()
    );
    pool.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn consumer_group_is_recreated_after_data_loss() {
    let server = RedisServer::start().await;
    let store = store_of(&server);
    let runs = Runs::default();
    let pool = start(&store, &runs);
    let ids = enqueue(&store, vec![probe(1)]).await;
    all_succeed(&store, &ids).await;
    server.flush().await;
    let ids = enqueue(&store, vec![probe(2)]).await;
    all_succeed(&store, &ids).await;
    pool.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outcome_wait_survives_a_redis_restart() {
    let mut server = RedisServer::start().await;
    let store = store_of(&server);
    let ids = enqueue(&store, vec![probe(1).delayed(Duration::from_secs(2))]).await;
    let waiter = Arc::clone(&store);
    let id = ids[0];
    let waiting = tokio::spawn(async move { waiter.outcome(id, LONG).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    server.stop();
    server.restart().await;
    let runs = Runs::default();
    let pool = start(&store, &runs);
    let view = waiting.await.unwrap().unwrap().unwrap();
    assert_eq!(view.state, JobState::Succeeded);
    pool.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn undecodable_entries_are_dead_lettered_and_worker_continues() {
    let server = RedisServer::start().await;
    let settings = redis_settings(1);
    let stream = format!("{}:v1:{{test.0}}:ready", settings.prefix);
    let store = Arc::new(redis_streams(&server.url(), settings));
    let runs = Runs::default();
    let pool = start(&store, &runs);
    let id = JobId::generate().to_string();
    let mut client = redis::Client::open(server.url())
        .unwrap()
        .get_multiplexed_async_connection()
        .await
        .unwrap();
    for fields in [["x", "y"], ["i", "not-an-id"], ["j", "{"], ["i", &id]] {
        let _: String = redis::cmd("XADD")
            .arg(&stream)
            .arg("*")
            .arg(&fields)
            .query_async(&mut client)
            .await
            .unwrap();
    }
    let ids = enqueue(&store, vec![probe(1)]).await;
    all_succeed(&store, &ids).await;
    eventually_eq(LONG, 4, async || store.stats().await.unwrap()[0].dead).await;
    let view = store.get(id.parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(
        (view.state, view.error.unwrap().code.as_str()),
        (JobState::Dead, "UNDECODABLE")
    );
    pool.stop().await;
}

/// apalis-redis: Cluster works by luck of the hash slot.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cluster_serves_all_shards_of_all_queues() {
    let nodes = RedisCluster::start().await;
    let store = Arc::new(redis_streams(&nodes.url(), redis_settings(4)));
    store.ping().await.unwrap();
    assert!(store.durability_warnings().await.unwrap().is_empty());
    let runs = Runs::default();
    let pool = start(&store, &runs);
    let ids = enqueue(&store, (0..100).map(probe).collect()).await;
    let delayed = (100..110)
        .map(|n| probe(n).delayed(Duration::from_millis(200)))
        .collect();
    let late = enqueue(&store, delayed).await;
    all_succeed(&store, &ids).await;
    all_succeed(&store, &late).await;
    let stats = store.stats().await.unwrap().remove(0);
    assert_eq!(
        (stats.ready, stats.running, stats.scheduled, stats.dead),
        (0, 0, 0, 0)
    );
    pool.stop().await;
}

#[tokio::test]
async fn settings_that_can_lose_jobs_are_reported() {
    let server = RedisServer::start().await;
    let store = store_of(&server);
    assert!(store.durability_warnings().await.unwrap().is_empty());
    let mut client = redis::Client::open(server.url())
        .unwrap()
        .get_multiplexed_async_connection()
        .await
        .unwrap();
    for (name, value) in [("appendonly", "no"), ("maxmemory-policy", "allkeys-lru")] {
        let _: String = redis::cmd("CONFIG")
            .arg("SET")
            .arg(name)
            .arg(value)
            .query_async(&mut client)
            .await
            .unwrap();
    }
    let warnings = store.durability_warnings().await.unwrap();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
}
