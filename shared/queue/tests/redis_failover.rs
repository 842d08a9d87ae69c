//! The Redis engine during failovers: behind one address that moves, and by Sentinel. Connections to
//! the demoted server stay open where a real proxy would leave them open.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed expectation fails the test"
)]

mod engines;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use avalon_queue::{JobId, JobState, JobStore, PoolSettings, RedisStreams};
use avalon_test_support::{RedisSentinels, RedisServer, TcpProxy, eventually};
use engines::{
    LONG, Runs, all_succeed, enqueue, probe, redis_settings, redis_streams, start, start_with,
};
use tokio::task::JoinHandle;

/// Maximum time without service after the new primary is reachable.
const RECOVERY: Duration = Duration::from_secs(8);

/// Enqueues a job every few milliseconds, with retries, until stopped.
struct Flow {
    stop: Arc<AtomicBool>,
    /// Returns the ids of the jobs with the numbers and times of their acceptance.
    running: JoinHandle<Vec<(u64, JobId, Instant)>>,
}

impl Flow {
    fn start(store: &Arc<RedisStreams>, first: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, store) = (Arc::clone(&stop), Arc::clone(store));
        let running = tokio::spawn(async move {
            let mut accepted = Vec::new();
            let mut n = first;
            while !stopped.load(Ordering::SeqCst) {
                let job = probe(n);
                let id = job.id;
                while store.enqueue(vec![job.clone()]).await.is_err() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                accepted.push((n, id, Instant::now()));
                n += 1;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            accepted
        });
        Self { stop, running }
    }

    async fn stop(self) -> Vec<(u64, JobId, Instant)> {
        self.stop.store(true, Ordering::SeqCst);
        self.running.await.unwrap()
    }
}

fn through(proxy: &TcpProxy, settings: &avalon_queue::RedisSettings) -> Arc<RedisStreams> {
    let url = format!("redis://127.0.0.1:{}", proxy.port());
    Arc::new(redis_streams(&url, settings.clone()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failover_behind_one_address_loses_nothing_accepted() {
    let first = RedisServer::start().await;
    let second = first.start_replica().await;
    let proxy = TcpProxy::start(first.port()).await;
    let settings = redis_settings(2);
    // Two processes: one that accepts and watches jobs, one that runs them.
    let (api, worker) = (through(&proxy, &settings), through(&proxy, &settings));
    let runs = Runs::default();
    let pool = start(&worker, &runs);
    let before = enqueue(&api, (0..50).map(probe).collect()).await;
    all_succeed(&api, &before).await;
    let flow = Flow::start(&api, 50);

    first.fail_over_to(&second).await;
    // The demoted server is still behind the address for a while.
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert!(api.ping().await.is_err(), "the server is read-only");
    proxy.switch_to(second.port());
    let moved = Instant::now();

    eventually(RECOVERY, async || api.ping().await).await;
    let after = enqueue(&api, (100_000..100_050).map(probe).collect()).await;
    all_succeed(&api, &after).await;
    assert!(moved.elapsed() < RECOVERY, "{:?}", moved.elapsed());
    let accepted: Vec<_> = flow.stop().await.into_iter().map(|(_, id, _)| id).collect();
    all_succeed(&api, &accepted).await;
    let stats = api.stats().await.unwrap().remove(0);
    assert_eq!((stats.ready, stats.running, stats.dead), (0, 0, 0));
    pool.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_clients_follow_a_failover_to_an_isolated_server() {
    let first = RedisServer::start().await;
    let second = first.start_replica().await;
    let proxy = TcpProxy::start(first.port()).await;
    let settings = redis_settings(1);
    let api = through(&proxy, &settings);
    let id = enqueue(&api, vec![probe(1).delayed(Duration::from_secs(3))]).await[0];
    let waiter = Arc::clone(&api);
    let waiting = tokio::spawn(async move { waiter.outcome(id, Duration::from_secs(60)).await });
    tokio::time::sleep(Duration::from_millis(300)).await;

    first.fail_over_to(&second).await;
    // Nothing that happens on the new primary reaches the demoted server.
    first.replicate("127.0.0.1", 1).await;
    proxy.switch_to(second.port());
    let moved = Instant::now();
    // Readiness is the only writer of this process.
    eventually(RECOVERY, async || api.ping().await).await;
    let worker = through(&proxy, &settings);
    let runs = Runs::default();
    let pool = start(&worker, &runs);
    let view = waiting.await.unwrap().unwrap().unwrap();
    assert_eq!(view.state, JobState::Succeeded);
    // The job is due after 3 s.
    assert!(moved.elapsed() < RECOVERY, "{:?}", moved.elapsed());
    pool.stop().await;
}

/// The server that was left behind accepts writes and pings: only the absence of messages reveals it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscription_that_receives_nothing_is_opened_again() {
    let (left, current) = (RedisServer::start().await, RedisServer::start().await);
    let proxy = TcpProxy::start(left.port()).await;
    let settings = redis_settings(1);
    let api = through(&proxy, &settings);
    api.waiters();
    api.ping().await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    proxy.switch_to(current.port());
    // Ends the connections for commands, not those for subscriptions.
    left.run::<u64>(&["CLIENT", "KILL", "TYPE", "normal"])
        .await
        .unwrap();
    eventually(RECOVERY, async || api.ping().await).await;
    eventually(LONG, async || {
        let subscribers = ["PUBSUB", "CHANNELS"];
        match current.run::<Vec<String>>(&subscribers).await {
            Ok(channels) if channels.len() == 1 => Ok(()),
            other => Err(other),
        }
    })
    .await;
    let ids = enqueue(&api, vec![probe(1)]).await;
    let waiter = Arc::clone(&api);
    let id = ids[0];
    let waiting = tokio::spawn(async move { waiter.outcome(id, Duration::from_secs(60)).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    let began = Instant::now();
    let runs = Runs::default();
    let pool = start(&api, &runs);
    let view = waiting.await.unwrap().unwrap().unwrap();
    assert_eq!(view.state, JobState::Succeeded);
    assert!(began.elapsed() < RECOVERY, "{:?}", began.elapsed());
    pool.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frozen_primary_behind_one_address_is_left() {
    let first = RedisServer::start().await;
    let second = first.start_replica().await;
    let proxy = TcpProxy::start(first.port()).await;
    let settings = redis_settings(1);
    let (api, worker) = (through(&proxy, &settings), through(&proxy, &settings));
    let runs = Runs::default();
    let pool = start(&worker, &runs);
    let before = enqueue(&api, (0..20).map(probe).collect()).await;
    all_succeed(&api, &before).await;
    // No packet says that it is gone.
    first.freeze();
    second.promote().await;
    proxy.switch_to(second.port());
    let moved = Instant::now();
    let after = enqueue(&api, (20..40).map(probe).collect()).await;
    all_succeed(&api, &after).await;
    assert!(
        moved.elapsed() < Duration::from_secs(15),
        "{:?}",
        moved.elapsed()
    );
    pool.stop().await;
}

/// A failover leaves the old primary writable for about ten seconds. The watcher must be faster.
const SWITCH: Duration = Duration::from_secs(3);
/// A job whose lease, or whose settlement, was lost with a connection is repeated when the lease has expired.
const LEASE: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinel_failovers_interrupt_jobs_for_seconds() {
    let mut servers = RedisSentinels::start().await;
    let redis = redis_settings(2);
    let store = || Arc::new(redis_streams(&servers.url(), redis.clone()));
    let (api, worker) = (store(), store());
    let runs = Runs::default();
    let settings = PoolSettings {
        concurrency: 16,
        block: Duration::from_millis(500),
        lease_timeout: LEASE,
        ..PoolSettings::default()
    };
    let pool = start_with(&worker, &runs, settings);
    let before = enqueue(&api, (0..50).map(probe).collect()).await;
    all_succeed(&api, &before).await;

    // Ordered by an operator, while jobs flow and the old primary stays up.
    let flow = Flow::start(&api, 1_000);
    let (primary, _) = servers.primary_and_replica().await;
    let began = Instant::now();
    // Has what was accepted until now.
    primary.await_replica().await;
    servers.fail_over().await;
    let ended = Instant::now();
    let (primary, replica) = servers.primary_and_replica().await;
    let current = redis_streams(&primary.url(), redis.clone());
    tokio::time::sleep(SWITCH).await;
    let after = enqueue(&api, (100_000..100_050).map(probe).collect()).await;
    // As the new primary sees them.
    all_succeed(&current, &after).await;
    assert!(
        ended.elapsed() < SWITCH * 2 + LEASE * 2,
        "{:?}",
        ended.elapsed()
    );
    let accepted = flow.stop().await;
    all_accepted_succeed(&api, &current, accepted, began, ended + SWITCH).await;

    // Because the primary died.
    let old = primary.port();
    primary.await_replica().await;
    let current = redis_streams(&replica.url(), redis.clone());
    let flow = Flow::start(&api, 200_000);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (primary, _) = servers.primary_and_replica().await;
    let began = Instant::now();
    // Has what was accepted until now.
    primary.await_replica().await;
    primary.stop();
    servers.await_new_primary(old).await;
    let ended = Instant::now();
    let after = enqueue(&api, (300_000..300_050).map(probe).collect()).await;
    all_succeed(&current, &after).await;
    assert!(
        ended.elapsed() < RECOVERY + LEASE * 2,
        "{:?}",
        ended.elapsed()
    );
    all_accepted_succeed(&api, &current, flow.stop().await, began, ended).await;
    assert_eq!(api.stats().await.unwrap()[0].dead, 0);
    pool.stop().await;
}

/// Replication is asynchronous, so jobs that the old primary accepted just before or during the failover
/// may be lost; their producers enqueue them again, as after an error. All others must succeed.
async fn all_accepted_succeed(
    api: &RedisStreams,
    primary: &RedisStreams,
    accepted: Vec<(u64, JobId, Instant)>,
    began: Instant,
    ended: Instant,
) {
    let ids: Vec<_> = accepted.iter().map(|(_, id, _)| *id).collect();
    for (n, id, at) in accepted {
        if at >= began && at <= ended {
            let mut again = probe(n);
            again.id = id;
            enqueue(api, vec![again]).await;
        }
    }
    all_succeed(primary, &ids).await;
}

#[tokio::test]
async fn sentinel_endpoint_reports_the_primary() {
    let mut servers = RedisSentinels::start().await;
    let endpoint = avalon_queue::RedisEndpoint::new(&servers.url()).unwrap();
    let (primary, _) = servers.primary_and_replica().await;
    let reported = endpoint.servers().await;
    assert_eq!(reported.len(), 1);
    assert_eq!(reported[0].node, format!("127.0.0.1:{}", primary.port()));
    assert!(reported[0].primary);
}
