//! The Redis engine during faults: a server that is down, killed, frozen or emptied, and entries that
//! cannot be decoded; and on a Cluster. Each test has its own server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed expectation fails the test"
)]

mod engines;

use std::sync::Arc;
use std::time::{Duration, Instant};

use avalon_queue::{JobId, JobState, JobStore, PoolSettings, RedisStreams, StoreError};
use avalon_test_support::{RedisCluster, RedisServer, eventually, eventually_eq};
use engines::{
    LONG, QUEUE, Runs, all_succeed, enqueue, probe, redis_settings, redis_streams, start,
    start_with,
};

fn store_of(server: &RedisServer) -> Arc<RedisStreams> {
    Arc::new(redis_streams(&server.url(), redis_settings(1)))
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
    // A subscription whose probe is lost would be opened again after three seconds.
    let subscribed = subscribers(nodes.nodes()).await;
    assert_eq!(subscribed.len(), 5, "one for waiters, one per shard");
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(subscribers(nodes.nodes()).await, subscribed);
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

/// Issue of a Redis that says 'not now': jobs wait, and those that run are settled later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_writes_are_transient_and_lose_no_job() {
    for (directive, refusing, accepting) in [
        ("maxmemory", "1mb", "0"),
        ("min-replicas-to-write", "1", "0"),
    ] {
        let server = RedisServer::start().await;
        let store = store_of(&server);
        let runs = Runs::default();
        let pool = start(&store, &runs);
        // Some are running, some ready, and some delayed when writes begin to be refused.
        let mut ids = enqueue(&store, (0..300).map(probe).collect()).await;
        let delayed = (300..320).map(|n| probe(n).delayed(Duration::from_millis(300)));
        ids.extend(enqueue(&store, delayed.collect()).await);
        server.set_config(directive, refusing).await;
        let connections = connections_received(&server).await;
        let refused = store.enqueue(vec![probe(320)]).await;
        assert!(
            matches!(refused, Err(StoreError::Unavailable(_))),
            "{directive}: {refused:?}"
        );
        let ping = store.ping().await;
        assert!(
            matches!(ping, Err(StoreError::Unavailable(_))),
            "{directive}: {ping:?}"
        );
        tokio::time::sleep(Duration::from_secs(2)).await;
        let opened = connections_received(&server).await - connections;
        assert!(opened < 150, "{opened} connections opened in 2 s");
        server.set_config(directive, accepting).await;
        ids.extend(enqueue(&store, vec![probe(320)]).await);
        all_succeed(&store, &ids).await;
        store.ping().await.unwrap();
        let stats = store.stats().await.unwrap().remove(0);
        assert_eq!(
            (stats.ready, stats.running, stats.scheduled, stats.dead),
            (0, 0, 0, 0)
        );
        let repeated = runs
            .lock()
            .unwrap()
            .values()
            .filter(|runs| **runs > 1)
            .count();
        assert_eq!(repeated, 0, "{directive}: no lease was lost");
        pool.stop().await;
    }
}

/// Addresses of the subscribed clients, sorted.
async fn subscribers(servers: &[RedisServer]) -> Vec<String> {
    let mut addresses = Vec::new();
    for server in servers {
        let words = ["CLIENT", "LIST", "TYPE", "pubsub"];
        let list: String = server.run(&words).await.unwrap();
        let words = list.split_whitespace();
        let found = words.filter_map(|word| word.strip_prefix("addr="));
        addresses.extend(found.map(str::to_owned));
    }
    addresses.sort();
    addresses
}

async fn connections_received(server: &RedisServer) -> u64 {
    let info: redis::InfoDict = server.run(&["INFO", "stats"]).await.unwrap();
    info.get("total_connections_received").unwrap()
}

#[tokio::test]
async fn ping_fails_on_a_read_only_server() {
    let server = RedisServer::start().await;
    let store = store_of(&server);
    store.ping().await.unwrap();
    server.replicate("127.0.0.1", 1).await;
    let ping = store.ping().await;
    assert!(matches!(ping, Err(StoreError::Unavailable(_))), "{ping:?}");
    server.promote().await;
    store.ping().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clock_that_steps_back_stalls_no_job() {
    let mut server = RedisServer::reserve().with_settable_clock();
    server.set_clock(3600);
    server.launch().await;
    let store = store_of(&server);
    let ids = enqueue(&store, vec![probe(1)]).await;
    let lane = store.lanes(&QUEUE).remove(0);
    let short = Duration::from_millis(100);
    let leased = eventually(LONG, async || {
        let leased = store.lease(&lane, "dead", 1, short).await;
        leased.map_err(drop)?.pop().ok_or(())
    })
    .await;
    assert_eq!(leased.job.id, ids[0]);
    let delayed = enqueue(&store, vec![probe(2).delayed(Duration::from_secs(7))]).await;

    server.set_clock(0);
    let stepped = Instant::now();
    let runs = Runs::default();
    let settings = PoolSettings {
        lease_timeout: Duration::from_secs(3),
        block: short,
        ..PoolSettings::default()
    };
    let pool = start_with(&store, &runs, settings);
    // The next promotion notices the step. The delayed job is not early either.
    let view = eventually(LONG, async || {
        let view = store.get(delayed[0]).await.unwrap().unwrap();
        let due = Duration::from_millis(view.due_at.unwrap_or_default());
        let now = std::time::UNIX_EPOCH.elapsed().unwrap();
        if due < now + Duration::from_secs(10) {
            Ok(view)
        } else {
            Err(due)
        }
    })
    .await;
    assert_eq!(view.state, JobState::Queued);
    // The lease of the dead worker expires as it would have.
    all_succeed(&store, &delayed).await;
    all_succeed(&store, &ids).await;
    assert!(
        stepped.elapsed() < Duration::from_secs(20),
        "{:?}",
        stepped.elapsed()
    );
    pool.stop().await;
}
