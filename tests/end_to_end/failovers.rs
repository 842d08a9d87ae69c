//! Failovers of Postgres behind one address, as of a managed service: the service is back within seconds, and
//! nothing that was accepted is lost.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use avalon_test_support::{
    Fleet, FleetSettings, PostgresServer, TcpProxy, eventually, eventually_eq, shared_redis_url,
    unique_prefix,
};
use avalon_tests::{Game, Player, send};
use serde_json::{Value, json};

/// Maximum time without service once the database accepts writes again.
const RECOVERY: Duration = Duration::from_secs(8);
const TIMEOUT: Duration = Duration::from_secs(40);
/// Orders that open connections while the database is read-only.
const LATE: usize = 8;

/// A shop whose database is at the proxy's address.
async fn shop(proxy: &TcpProxy) -> (Fleet, Game) {
    let database = format!("postgres://postgres@127.0.0.1:{}/postgres", proxy.port());
    let fleet = FleetSettings::new(&database, &shared_redis_url().await)
        .env("AVALON_REDIS__KEY_PREFIX", unique_prefix())
        .with_payments()
        // Payments become known by their callbacks, which WeChat repeats.
        .env("AVALON_PAY__RECONCILE_AFTER", "10m")
        .start(1, 1)
        .await;
    let game = Game::of(&fleet.apis[0], &fleet.simulator);
    game.sell(&fleet.apis[0], "gems", 100).await;
    (fleet, game)
}

/// Requests orders one after the other until stopped; returns the addresses of the accepted jobs.
async fn keep_ordering(alice: &Player<'_>, stop: &AtomicBool) -> Vec<String> {
    let mut accepted = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let response = alice
            .request_order("gems", &format!("flow-{}", accepted.len()))
            .await;
        match response.status.as_u16() {
            202 => accepted.push(response.header("location").to_owned()),
            503 => {}
            _ => panic!("{response:?}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    accepted
}

/// Waits until an accepted order has ended, and expects that it succeeded.
async fn succeeds(alice: &Player<'_>, job: &str) {
    let ended = alice.get(&format!("{job}?wait=20")).await;
    assert_eq!(ended.body["status"], "succeeded", "{ended:?}");
}

async fn readiness(fleet: &Fleet) -> (u16, Value) {
    let response = send(
        fleet
            .client()
            .get(format!("{}/readyz", fleet.workers[0].ops)),
    )
    .await;
    (
        response.status.as_u16(),
        response.body["stores"]["database"].clone(),
    )
}

// The proxy needs a thread while the fleet is dropped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_failover_behind_one_address_loses_nothing() {
    const PAID: i64 = 5;
    let mut old = PostgresServer::start().await;
    let new = old.start_standby().await;
    let proxy = TcpProxy::start(old.port()).await;
    let (fleet, game) = shop(&proxy).await;
    let alice = game.player("alice").await;
    let mut unpaid = Vec::new();
    for n in 0..PAID {
        let created = alice.order("gems", 1, &format!("k{n}")).await;
        assert_eq!(created.status, 200, "{created:?}");
        unpaid.push(created);
    }
    let stop = AtomicBool::new(false);
    let failover = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        old.stop();
        // The address moves while the standby is still read-only.
        proxy.switch_to(new.port());
        eventually(TIMEOUT, async || match readiness(&fleet).await {
            (503, state) if state != "ok" => Ok(()),
            other => Err(other),
        })
        .await;
        for created in &unpaid {
            alice.pay(created).await;
        }
        new.promote().await;
        let promoted = Instant::now();
        eventually_eq(RECOVERY, 200, async || {
            alice.order("gems", 1, "after").await.status.as_u16()
        })
        .await;
        eventually_eq(RECOVERY, (200, json!("ok")), async || {
            readiness(&fleet).await
        })
        .await;
        println!("back {:?} after the promotion", promoted.elapsed());
        stop.store(true, Ordering::Relaxed);
    };
    let (accepted, ()) = tokio::join!(keep_ordering(&alice, &stop), failover);
    assert!(accepted.len() >= 5, "{}", accepted.len());
    for job in &accepted {
        succeeds(&alice, job).await;
    }
    eventually_eq(TIMEOUT, PAID, async || alice.owns("gems").await).await;
}

// The proxy needs a thread while the fleet is dropped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_opened_while_postgres_was_read_only_are_replaced() {
    let postgres = PostgresServer::start().await;
    let proxy = TcpProxy::start(postgres.port()).await;
    let (fleet, game) = shop(&proxy).await;
    let alice = game.player("alice").await;
    postgres
        .execute("ALTER DATABASE postgres SET default_transaction_read_only = on")
        .await;
    proxy.close_connections();
    let mut late = Vec::new();
    for n in 0..LATE {
        let order = alice.request_order("gems", &format!("late-{n}")).await;
        assert_eq!(order.status, 202, "{order:?}");
        late.push(order.header("location").to_owned());
    }
    // Readiness is not asked meanwhile: it would replace the connections too.
    for job in &late {
        eventually_eq(TIMEOUT, json!("retrying"), async || {
            alice.get(job).await.body["status"].clone()
        })
        .await;
    }
    let reset =
        "BEGIN READ WRITE; ALTER DATABASE postgres RESET default_transaction_read_only; COMMIT";
    postgres.execute(reset).await;
    eventually_eq(RECOVERY, 200, async || {
        alice.order("gems", 1, "after").await.status.as_u16()
    })
    .await;
    // No connection of that time is left to delay an order.
    for n in 0..20 {
        let (started, key) = (Instant::now(), format!("k{n}"));
        assert_eq!(alice.order("gems", 1, &key).await.status, 200);
        assert!(
            started.elapsed() < Duration::from_secs(1),
            "{key}: {:?}",
            started.elapsed()
        );
    }
    for job in &late {
        succeeds(&alice, job).await;
    }
    assert_eq!(readiness(&fleet).await, (200, json!("ok")));
}
