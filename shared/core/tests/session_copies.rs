//! Copies of sessions in a process (Redis): they save round trips, and never let an ended session pass.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that can't go on has failed"
)]

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use avalon_core::accounts::config::DevicePolicy;
use avalon_core::accounts::sessions::{
    Device, EndReason, REDIS_TIMEOUT, Refusal, SessionError, SessionRules, Sessions,
};
use avalon_core::base::ids::{SessionId, UserId};
use avalon_core::storage::documents::RedisDocuments;
use avalon_core::storage::keyring::{EncryptionKey, Keyring};
use avalon_queue::RedisEndpoint;
use avalon_test_support::{Network, RedisServer, TcpProxy, eventually_eq, unique_prefix};
use jiff::Timestamp;

const WAIT: Duration = Duration::from_secs(10);
/// After this time without a reply, copies are not used (20 ms), and some more.
const SILENCE: Duration = Duration::from_millis(40);

/// Redis, and two processes that use it: one through a proxy, the other directly.
struct Processes {
    server: RedisServer,
    proxy: TcpProxy,
    reader: Sessions,
    other: Sessions,
}

impl Processes {
    async fn start() -> Self {
        let server = RedisServer::start().await;
        let proxy = TcpProxy::start(server.port()).await;
        let keyring = Arc::new(Keyring::new(&EncryptionKey::generate().unwrap(), &[]).unwrap());
        let prefix = unique_prefix();
        let process = |url: &str| {
            let endpoint = RedisEndpoint::new(url).unwrap();
            let documents = RedisDocuments::new(endpoint, &prefix, REDIS_TIMEOUT);
            let rules = SessionRules {
                policy: DevicePolicy::Single,
                ttl: Duration::from_secs(3600),
                max_age: Duration::from_secs(36_000),
                refresh_grace: Duration::from_secs(10),
            };
            Sessions::in_redis(documents, Arc::clone(&keyring), rules)
        };
        let reader = process(&format!("redis://127.0.0.1:{}", proxy.port()));
        let other = process(&server.url());
        Self {
            server,
            proxy,
            reader,
            other,
        }
    }

    /// Signs a player in at the other process, and has the reader look the session up until it uses a copy.
    async fn session(&self) -> (UserId, SessionId) {
        let (user, id) = (UserId::new(), SessionId::new());
        let device = Device::default();
        let signed_in = self.other.sign_in(user, "o", id, device, Timestamp::now());
        signed_in.await.unwrap();
        eventually_eq(WAIT, true, async || {
            let before = self.reads().await;
            let looked_up = (self.look_up(user, id).await, self.look_up(user, id).await);
            let found = matches!(looked_up, (Ok(()), Ok(())));
            found && self.reads().await < before + 2
        })
        .await;
        (user, id)
    }

    async fn look_up(&self, user: UserId, id: SessionId) -> Result<(), SessionError> {
        let looked_up = self.reader.live(user, id, Timestamp::now());
        looked_up.await.map(drop)
    }

    /// Number of `GET` commands so far.
    async fn reads(&self) -> u64 {
        let info: String = self.server.run(&["INFO", "commandstats"]).await.unwrap();
        let gets = info
            .lines()
            .find_map(|line| line.strip_prefix("cmdstat_get:calls="));
        gets.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
    }

    async fn end(&self, user: UserId, id: SessionId) {
        let ended = self
            .other
            .end(user, id, EndReason::SignedOut, Timestamp::now());
        assert!(ended.await.unwrap());
    }
}

fn is_ended(result: &Result<(), SessionError>) -> bool {
    let ended = Refusal::Ended(EndReason::SignedOut);
    matches!(result, Err(SessionError::Refused(refusal)) if *refusal == ended)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lookups_of_one_player_share_a_read() {
    let processes = Processes::start().await;
    let (user, id) = processes.session().await;
    let before = processes.reads().await;
    for _ in 0..10_000 {
        processes.look_up(user, id).await.unwrap();
    }
    let reads = processes.reads().await - before;
    // One every 20 ms; the time that 10,000 lookups take depends on the machine.
    assert!(reads < 1_000, "{reads}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn session_is_refused_everywhere_once_its_end_is_acknowledged() {
    let processes = Processes::start().await;
    // Invalidations arrive later than the acknowledgement would.
    let network = Network::Delayed(Duration::from_millis(3));
    processes.proxy.set_network(network);
    for _ in 0..20 {
        let (user, id) = processes.session().await;
        processes.end(user, id).await;
        assert!(is_ended(&processes.look_up(user, id).await));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn session_is_refused_at_once_where_it_was_ended() {
    let processes = Processes::start().await;
    for _ in 0..50 {
        let (user, id) = processes.session().await;
        let ended = processes
            .reader
            .end(user, id, EndReason::SignedOut, Timestamp::now());
        assert!(ended.await.unwrap());
        assert!(is_ended(&processes.look_up(user, id).await));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_session_is_accepted_at_once_everywhere() {
    let processes = Processes::start().await;
    let (user, _) = processes.session().await;
    for _ in 0..200 {
        let id = SessionId::new();
        let now = Timestamp::now();
        let signed_in = processes
            .other
            .sign_in(user, "o", id, Device::default(), now);
        signed_in.await.unwrap();
        processes.look_up(user, id).await.unwrap();
    }
}

/// What Redis invalidates does not arrive, and the connection does not end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_are_not_used_while_redis_is_silent() {
    for network in [
        Network::Blackhole,
        Network::Delayed(Duration::from_millis(400)),
    ] {
        let processes = Processes::start().await;
        let (user, id) = processes.session().await;
        processes.proxy.set_network(network);
        processes.end(user, id).await;
        tokio::time::sleep(SILENCE).await;
        assert!(processes.look_up(user, id).await.is_err());
        processes.proxy.set_network(Network::Normal);
        eventually_eq(WAIT, true, async || {
            is_ended(&processes.look_up(user, id).await)
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_connection_and_lost_data_end_copies() {
    let mut processes = Processes::start().await;
    let (user, id) = processes.session().await;
    processes.proxy.close_connections();
    processes.end(user, id).await;
    // Another player, by the next connection, on which the end was not reported.
    processes.session().await;
    assert!(is_ended(&processes.look_up(user, id).await));

    let (user, id) = processes.session().await;
    processes.server.flush().await;
    tokio::time::sleep(SILENCE).await;
    let refused = processes.look_up(user, id).await.unwrap_err();
    assert!(matches!(refused, SessionError::Refused(Refusal::Unknown)));

    let (user, id) = processes.session().await;
    processes.server.stop();
    tokio::time::sleep(SILENCE).await;
    assert!(
        processes
            .look_up(user, id)
            .await
            .unwrap_err()
            .is_transient()
    );
    processes.server.launch().await;
    eventually_eq(WAIT, true, async || {
        processes.look_up(user, id).await.is_ok()
    })
    .await;
}

/// Sessions end at random while they are looked up: none is live 40 ms after its end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_lookup_passes_after_an_end_under_concurrency() {
    let processes = Arc::new(Processes::start().await);
    let mut players = HashMap::new();
    for _ in 0..20 {
        let (user, id) = processes.session().await;
        players.insert(user, id);
    }
    let lookups = Arc::new(AtomicUsize::new(0));
    let tasks = players.into_iter().map(|(user, id)| {
        let (processes, lookups) = (Arc::clone(&processes), Arc::clone(&lookups));
        tokio::spawn(async move {
            for round in 0..50 {
                let id = if round == 0 { id } else { SessionId::new() };
                if round > 0 {
                    let now = Timestamp::now();
                    let device = Device::default();
                    let signed_in = processes.other.sign_in(user, "o", id, device, now);
                    signed_in.await.unwrap();
                }
                let reading = async {
                    for _ in 0..fastrand::usize(1..50) {
                        let _ = processes.look_up(user, id).await;
                        lookups.fetch_add(1, Ordering::Relaxed);
                        tokio::task::yield_now().await;
                    }
                };
                let ending = async {
                    tokio::time::sleep(Duration::from_micros(fastrand::u64(0..800))).await;
                    processes.end(user, id).await;
                };
                futures_util::future::join(reading, ending).await;
                tokio::time::sleep(SILENCE).await;
                assert!(is_ended(&processes.look_up(user, id).await), "{round}");
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    assert!(lookups.load(Ordering::Relaxed) > 1000);
}
