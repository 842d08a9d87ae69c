//! Payments during outages: no payment is lost, and none is granted twice.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use avalon_test_support::{Avalon, FleetSettings, RedisServer, TestDatabase, eventually_eq};
use avalon_tests::{Game, send};
use aws_lc_rs::hmac;
use base64::Engine;
use serde_json::json;

const TIMEOUT: Duration = Duration::from_secs(40);

#[tokio::test]
async fn callback_during_a_redis_outage_is_granted_afterwards() {
    let database = TestDatabase::postgres().await;
    let mut redis = RedisServer::start().await;
    let fleet = FleetSettings::new(database.url(), &redis.url())
        .with_payments()
        .env("AVALON_PAY__RECONCILE_AFTER", "10m")
        .start(1, 1)
        .await;
    let game = Game::of(&fleet.apis[0], &fleet.simulator);
    let put = game
        .client
        .put(format!("{}/admin/products/gems", fleet.apis[0].ops))
        .bearer_auth(FleetSettings::ADMIN_TOKEN)
        .json(&json!({"name": "Gems", "price": 100}));
    assert_eq!(send(put).await.status, 200);
    let alice = game.player("alice").await;
    let created = alice.order("gems", 1, "k").await;
    assert_eq!(created.status, 200, "{created:?}");

    redis.stop();
    alice.pay(&created).await;
    eventually_eq(TIMEOUT, json!("delivered"), async || {
        game.ask_simulator("pay/callbacks").await["callbacks"][0]["status"].clone()
    })
    .await;
    let attempt = game.ask_simulator("pay/callbacks").await["callbacks"][0]["attempts"][0].clone();
    assert_eq!(attempt["status"], 204, "at the first attempt: {attempt}");
    assert!(
        attempt["durationMs"].as_f64().unwrap() < 1000.0,
        "and at once: {attempt}"
    );
    assert_eq!(alice.owns("gems").await, 0, "it is not processed yet");
    redis.restart().await;
    eventually_eq(TIMEOUT, 1, async || alice.owns("gems").await).await;
}

#[tokio::test]
async fn lost_wechat_response_repeats_the_same_order_request() {
    let dev = Avalon::command("dev").start().await;
    let game = Game::of(&dev, &dev);
    let alice = game.player("alice").await;
    game.faults(json!({"outage": "reset", "outageAfter": true, "api": "pay_jsapi"}))
        .await;
    let response = alice.order("gems-60", 1, "k").await;
    assert!(
        matches!(response.status.as_u16(), 202 | 503),
        "{response:?}"
    );
    game.clear_faults().await;
    eventually_eq(TIMEOUT, 200, async || {
        alice.order("gems-60", 1, "k").await.status.as_u16()
    })
    .await;
    let created = alice.order("gems-60", 1, "k").await;
    let orders = game.ask_simulator("pay/orders").await;
    assert_eq!(
        orders["orders"].as_array().map(Vec::len),
        Some(1),
        "one order at WeChat: {orders}"
    );
    alice.pay(&created).await;
    eventually_eq(TIMEOUT, 1, async || alice.owns("gems-60").await).await;
}

#[tokio::test]
async fn permanently_rejected_order_fails_and_releases_its_stock() {
    let dev = Avalon::command("dev")
        .env("AVALON_ADMIN__TOKEN", FleetSettings::ADMIN_TOKEN)
        // One player may hold all of the stock.
        .env("AVALON_PAY__MAX_PENDING_STOCK_PERCENT", "100")
        .start()
        .await;
    let game = Game::of(&dev, &dev);
    let products = format!("{}/admin/products", dev.ops);
    let put = game
        .client
        .put(format!("{products}/moon"))
        .bearer_auth(FleetSettings::ADMIN_TOKEN);
    // An emoji in the name is no reason to reject: it is removed from what WeChat receives.
    let moon = json!({"name": "Moon \u{1F319}", "price": 100, "stock": 5});
    assert_eq!(send(put.json(&moon)).await.status, 200);
    let alice = game.player("alice").await;
    // WeChat demands a public URL for callbacks, and ours is not one.
    game.set("pay/settings", json!({"publicNotifyUrls": true}))
        .await;
    alice
        .order("moon", 2, "k")
        .await
        .assert_problem(409, "PAYMENT_REFUSED");
    let orders = alice.get("/api/wx/orders").await.body;
    assert_eq!(orders["orders"][0]["status"], "failed", "{orders}");
    let list = game
        .client
        .get(products)
        .bearer_auth(FleetSettings::ADMIN_TOKEN);
    let list = send(list).await.body;
    let moon = list["products"]
        .as_array()
        .unwrap()
        .iter()
        .find(|p| p["productId"] == "moon");
    assert_eq!(moon.unwrap()["stock"], 5, "{list}");

    game.set("pay/settings", json!({"publicNotifyUrls": false}))
        .await;
    assert_eq!(
        alice.order("moon", 5, "k2").await.status,
        200,
        "all of it can be bought"
    );
}

#[tokio::test]
async fn webhooks_are_retried_until_the_game_server_accepts() {
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", socket.local_addr().unwrap());
    let received: Received = Arc::default();
    let hook = axum::Router::new()
        .route("/hook", axum::routing::post(receive))
        .with_state(received.clone());
    tokio::spawn(async move { axum::serve(socket, hook).await });
    let dev = Avalon::command("dev")
        .env("AVALON_ADMIN__TOKEN", FleetSettings::ADMIN_TOKEN)
        .env("AVALON_FULFIL__WEBHOOK_URL", &url)
        .env(
            "AVALON_FULFIL__WEBHOOK_SECRET",
            "a-shared-secret-of-the-game",
        )
        .start()
        .await;
    let game = Game::of(&dev, &dev);
    let alice = game.player("alice").await;
    let created = alice.order("gems-60", 2, "k").await;
    alice.pay(&created).await;
    let count = || received.lock().unwrap().len();
    // The first attempt gets a 500, so the same message is sent again.
    eventually_eq(TIMEOUT, 2, async || count()).await;
    let id = created.body["orderId"].as_str().unwrap();
    let refund = game
        .client
        .post(format!("{}/admin/orders/{id}/refund", dev.ops))
        .bearer_auth(FleetSettings::ADMIN_TOKEN)
        .header("idempotency-key", "r");
    assert_eq!(send(refund.json(&json!({"reason": "x"}))).await.status, 202);
    eventually_eq(TIMEOUT, 3, async || count()).await;
    let received = received.lock().unwrap().clone();
    assert_eq!(received[0].id, received[1].id);
    assert_ne!(received[1].id, received[2].id);
    for (message, kind) in received
        .iter()
        .zip(["order.paid", "order.paid", "order.refunded"])
    {
        assert_eq!(message.body["type"], kind);
        assert_eq!(message.body["data"]["_id"], id);
    }
}

#[derive(Clone)]
struct Message {
    id: String,
    body: serde_json::Value,
}

type Received = Arc<Mutex<Vec<Message>>>;

/// A game server that fails once.
async fn receive(
    axum::extract::State(received): axum::extract::State<Received>,
    headers: axum::http::HeaderMap,
    body: String,
) -> axum::http::StatusCode {
    let header = |name: &str| headers[name].to_str().unwrap().to_owned();
    let (id, time) = (header("webhook-id"), header("webhook-timestamp"));
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"a-shared-secret-of-the-game");
    let tag = hmac::sign(&key, format!("{id}.{time}.{body}").as_bytes());
    let expected = format!(
        "v1,{}",
        base64::engine::general_purpose::STANDARD.encode(tag.as_ref())
    );
    assert_eq!(header("webhook-signature"), expected);
    let mut received = received.lock().unwrap();
    received.push(Message {
        id,
        body: serde_json::from_str(&body).unwrap(),
    });
    if received.len() == 1 {
        return axum::http::StatusCode::INTERNAL_SERVER_ERROR;
    }
    axum::http::StatusCode::NO_CONTENT
}

#[tokio::test]
async fn killed_workers_leave_each_purchase_paid_and_granted_once() {
    const ORDERS: usize = 30;
    let database = TestDatabase::postgres().await;
    let redis = RedisServer::start().await;
    let mut fleet = FleetSettings::new(database.url(), &redis.url())
        .with_payments()
        .env("AVALON_QUEUE__LEASE_TIMEOUT", "2s")
        .env("AVALON_PAY__RECONCILE_AFTER", "2s")
        .start(1, 1)
        .await;
    let game = Game::of(&fleet.apis[0], &fleet.simulator);
    let put = game
        .client
        .put(format!("{}/admin/products/gems", fleet.apis[0].ops))
        .bearer_auth(FleetSettings::ADMIN_TOKEN)
        .json(&json!({"name": "Gems", "price": 100, "stock": 1000}));
    assert_eq!(send(put).await.status, 200);
    let alice = game.player("alice").await;
    game.set("pay/callbacks", json!({"copies": 2})).await;
    for n in 0..ORDERS {
        let key = format!("k{n}");
        if n % 10 == 5 {
            // Killed with all jobs that it runs.
            fleet.workers.last_mut().unwrap().kill9();
            fleet.add_workers().await;
        }
        eventually_eq(TIMEOUT, 200, async || {
            alice.order("gems", 1, &key).await.status.as_u16()
        })
        .await;
        let created = alice.order("gems", 1, &key).await;
        alice.pay(&created).await;
    }
    eventually_eq(TIMEOUT, ORDERS as i64, async || alice.owns("gems").await).await;
    let orders = game.ask_simulator("pay/orders").await;
    assert_eq!(orders["orders"].as_array().map(Vec::len), Some(ORDERS));
}
