//! The Redis engine in bad weather: a server that is absent, killed, hung or emptied, rubbish in
//! its streams, and a Cluster. Each test has a server of its own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that can't go on has failed"
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

/// A pool whose handler takes a moment and counts its runs per job.
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

/// As a caller with patience would: again with the same ids until the store takes them.
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
async fn a_redis_that_is_absent_at_start_is_waited_for() {
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
async fn a_redis_that_is_killed_and_restarted_loses_nothing_and_ends_no_worker() {
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
        // In the middle of the work.
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
    assert_eq!(runs.lock().unwrap().len(), 1500, "every job was run");
    pool.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_hangs_for_ten_seconds_needs_no_hand() {
    let server = RedisServer::start().await;
    let store = store_of(&server);
    let runs = Runs::default();
    let pool = start(&store, &runs);
    let ids = enqueue(&store, (0..200).map(probe).collect()).await;
    server.freeze();
    let hung = Instant::now();
    let refused = store.enqueue(vec![probe(9999)]).await;
    assert!(
        matches!(refused, Err(StoreError::Unavailable(_))),
        "{refused:?}"
    );
    assert!(
        hung.elapsed() < Duration::from_secs(5),
        "callers are told in time"
    );
    tokio::time::sleep(Duration::from_secs(10).saturating_sub(hung.elapsed())).await;
    server.thaw();

    let back = Instant::now();
    let late = enqueue(&store, (200..220).map(probe).collect()).await;
    all_succeed(&store, &ids).await;
    all_succeed(&store, &late).await;
    // What the server had handed to a connection that was given up is found again at once, not
    // when its lease of 30 s expires.
    assert!(
        back.elapsed() < Duration::from_secs(15),
        "{:?}",
        back.elapsed()
    );
    pool.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_lost_its_data_is_set_up_again() {
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
async fn a_wait_for_an_outcome_survives_a_restart() {
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
async fn rubbish_in_the_stream_is_dead_lettered_and_the_worker_goes_on() {
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
    for fields in [["x", "y"], ["i", "no-id"], ["j", "{"], ["i", &id]] {
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
async fn a_cluster_carries_all_shards_of_all_queues() {
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
async fn start_up_warns_of_a_server_that_could_lose_jobs() {
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
