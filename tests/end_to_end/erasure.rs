//! A player who closes the account while buying and reporting, as workers are killed: nothing is left but the
//! pseudonym, and what was paid stays.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use avalon_test_support::{
    FleetSettings, TestDatabase, eventually_eq, search_database, search_redis, shared_redis_url,
    unique_prefix,
};
use avalon_tests::wechat_push::{credentials, push};
use avalon_tests::{Client, Game, Player, send};
use axum::Router;
use axum::http::StatusCode;
use serde_json::{Value, json};
use sqlx::{AnyConnection, Connection};

/// Of the whole erasure: it waits for a minute, and for the last order.
const TIMEOUT: Duration = Duration::from_secs(240);
const UNION_ID: &str = "uPlayerOfAllGames";
const NICKNAME: &str = "Lanzarote";
const DEVICE: &str = "device-7f3a9c";
/// Lifetime of a finished job's result, in ms.
const RESULT_MS: i64 = 600_000;

/// Starts a game server; returns its webhook URL and the bodies that it received.
async fn game_server() -> (String, Arc<Mutex<Vec<Value>>>) {
    let bodies = Arc::new(Mutex::new(Vec::new()));
    let received = Arc::clone(&bodies);
    let hook = async move |body: String| {
        received
            .lock()
            .unwrap()
            .push(serde_json::from_str(&body).unwrap());
        StatusCode::NO_CONTENT
    };
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", socket.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(socket, Router::new().fallback(hook)).await });
    (url, bodies)
}

async fn number(database: &TestDatabase, sql: &'static str) -> i64 {
    sqlx::any::install_default_drivers();
    let mut connection = AnyConnection::connect(database.url()).await.unwrap();
    sqlx::query_scalar(sql)
        .fetch_one(&mut connection)
        .await
        .unwrap()
}

/// Signs in on a named device.
async fn sign_in<'a>(game: &'a Game, name: &str) -> Client<'a> {
    let body = json!({"code": game.mint_code(name).await, "deviceId": DEVICE});
    let response = send(game.client.post(game.url("/api/wx/login")).json(&body)).await;
    assert_eq!(response.status, 200, "{response:?}");
    Client {
        game,
        token: response.body["token"].as_str().unwrap().to_owned(),
        open_id: response.body["userInfo"]["openId"]
            .as_str()
            .unwrap()
            .to_owned(),
    }
}

/// Buys until the session ends; counts what was paid.
async fn buy(player: &Player<'_>, paid: &AtomicUsize) {
    for key in 0.. {
        let created = player.order("gems", 1, &format!("k{key}")).await;
        match created.status.as_u16() {
            200 => {
                player.pay(&created).await;
                paid.fetch_add(1, Ordering::Relaxed);
            }
            401 => return,
            // No worker ran it in time.
            _ => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// Reports until the session ends.
async fn report(player: &Player<'_>) {
    loop {
        let event = json!({"eventName": "moved", "eventParams": {"device": DEVICE, "name": NICKNAME},
            "timestamp": jiff::Timestamp::now().as_millisecond(), "sessionId": DEVICE});
        let body = json!({"events": [event]});
        if player.post("/api/wx/report", "unused", body).await.status == 401 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn erasure_during_kills_leaves_only_the_pseudonym() {
    let database = TestDatabase::postgres().await;
    let (webhook, received) = game_server().await;
    let (redis, prefix) = (shared_redis_url().await, unique_prefix());
    let settings = FleetSettings::new(database.url(), &redis)
        .with_payments()
        .env("AVALON_REDIS__KEY_PREFIX", &prefix)
        .env("AVALON_PUSH__CREDENTIALS", credentials())
        .env("AVALON_FULFIL__WEBHOOK_URL", webhook)
        .env(
            "AVALON_FULFIL__WEBHOOK_SECRET",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        )
        .env("AVALON_FULFIL__ALLOW_PRIVATE_ADDRESSES", "true")
        .env("AVALON_PAY__ORDER_TTL", "15s")
        .env("AVALON_PAY__RECONCILE_AFTER", "1s")
        .env("AVALON_QUEUE__LEASE_TIMEOUT", "2s")
        .env("AVALON_QUEUE__MAX_LOST_LEASES", "1000");
    let mut fleet = settings.start(1, 2).await;
    fleet.expect_leftover("*");
    let game = Game::of(&fleet.apis[0], &fleet.simulator);
    game.sell(&fleet.apis[0], "gems", 100).await;
    let alice = sign_in(&game, "alice").await;
    let profile = json!({"data": {"openId": alice.open_id, "unionId": UNION_ID, "nickName": NICKNAME,
        "gender": 0, "avatarUrl": "http://wx.qlogo.cn/a/132"}});
    let updated = alice.update(&alice.encrypted(profile).await).await;
    assert_eq!(
        updated.body["userInfo"]["nickname"], NICKNAME,
        "{updated:?}"
    );
    let player = Player {
        game: &game,
        token: alice.token.clone(),
    };
    let personal = [&alice.open_id, UNION_ID, NICKNAME, DEVICE];
    let paid = AtomicUsize::new(0);

    let close = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        let message = json!({"Event": "user_authorization_cancellation", "OpenID": alice.open_id,
            "UnionID": UNION_ID, "CreateTime": 1_790_000_000});
        let closed = send(push(&game.client, &fleet.apis[0].http, &message)).await;
        assert_eq!(closed.status, 200, "{closed:?}");
    };
    let kill = async {
        let mut workers = std::mem::take(&mut fleet.workers);
        let mut kills = 0;
        while number(
            &database,
            "SELECT count(*) FROM erasures WHERE step = 'done'",
        )
        .await
            == 0
        {
            let pause = Duration::from_millis(fastrand::u64(200..2500));
            tokio::time::sleep(pause).await;
            let worker = &mut workers[kills % 2];
            worker.kill9();
            worker.restart().await;
            kills += 1;
        }
        (workers, kills)
    };
    let run = async { tokio::join!(close, buy(&player, &paid), report(&player), kill) };
    let ((), (), (), (workers, kills)) = tokio::time::timeout(TIMEOUT, run).await.unwrap();
    fleet.workers = workers;
    println!(
        "{kills} kills, {} orders paid",
        paid.load(Ordering::Relaxed)
    );

    // What the player has paid, and nothing else, was granted; it stays.
    let bought = i64::try_from(paid.load(Ordering::Relaxed)).unwrap();
    assert!(bought > 0);
    for sum in [
        "SELECT count(*) FROM orders WHERE status = 'paid'",
        "SELECT CAST(sum(delta) AS BIGINT) FROM inventory_ledger",
        "SELECT CAST(sum(quantity) AS BIGINT) FROM inventory",
        "SELECT CAST(sum(total_fee) / 100 AS BIGINT) FROM orders WHERE status = 'paid'",
    ] {
        eventually_eq(TIMEOUT, bought, async || number(&database, sum).await).await;
    }
    let events = "SELECT count(*) FROM analytics_events WHERE event_name = 'moved'";
    assert!(number(&database, events).await > 0);

    assert_eq!(
        search_database(database.url(), &personal).await,
        Vec::<String>::new()
    );
    for hit in search_redis(&redis, &prefix, &personal).await {
        let expires = (0..=RESULT_MS).contains(&hit.ttl_ms);
        assert!(hit.key.contains(":job:") && expires, "{hit:?}");
    }
    let bodies = received.lock().unwrap().clone();
    let erased: Vec<&Value> = bodies
        .iter()
        .filter(|body| body["type"] == "player.erased")
        .collect();
    assert!(!erased.is_empty());
    for body in erased {
        assert_eq!(body["data"]["openId"], alice.open_id, "{body}");
        assert_eq!(body["data"]["unionId"], UNION_ID, "{body}");
    }
}
