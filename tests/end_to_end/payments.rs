//! Buying, consuming, cancelling and refunding, on `avalon dev`, with WeChat Pay simulated.

use std::time::Duration;

use avalon_test_support::{Avalon, FleetSettings, eventually_eq};
use avalon_tests::{ApiResponse, Game, send};
use futures_util::future::join_all;
use serde_json::{Value, json};

const TIMEOUT: Duration = Duration::from_secs(30);

async fn dev() -> (Avalon, Game) {
    let dev = Avalon::command("dev")
        .env("AVALON_ADMIN__TOKEN", FleetSettings::ADMIN_TOKEN)
        .env("AVALON_PAY__RECONCILE_AFTER", "1s")
        .start()
        .await;
    let game = Game::of(&dev, &dev);
    (dev, game)
}

/// Calls an admin route.
async fn admin(
    dev: &Avalon,
    game: &Game,
    method: &str,
    path: &str,
    body: Option<Value>,
) -> ApiResponse {
    let method = method.parse().unwrap();
    let mut request = game
        .client
        .request(method, format!("{}{path}", dev.ops))
        .bearer_auth(FleetSettings::ADMIN_TOKEN)
        .header("idempotency-key", "operator-1");
    if let Some(body) = body {
        request = request.json(&body);
    }
    send(request).await
}

fn id_of(created: &ApiResponse) -> String {
    assert_eq!(created.status, 200, "{created:?}");
    created.body["orderId"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn player_buys_and_consumes_items() {
    let (_dev, game) = dev().await;
    let products = game.get("/api/wx/products").await.body;
    assert!(
        products["products"]
            .as_array()
            .unwrap()
            .iter()
            .any(|p| p["productId"] == "gems-60")
    );

    let alice = game.player("alice").await;
    let created = alice.order("gems-60", 2, "k1").await;
    let id = id_of(&created);
    for field in ["timeStamp", "nonceStr", "package", "signType", "paySign"] {
        assert!(
            created.body["payParams"][field].is_string(),
            "{field}: {created:?}"
        );
    }
    let order = alice.get(&format!("/api/wx/getOrder/{id}")).await.body["order"].clone();
    assert_eq!(
        (&order["status"], &order["totalFee"]),
        (&json!("pending"), &json!(1200))
    );
    assert_eq!(alice.owns("gems-60").await, 0);

    alice.pay(&created).await;
    eventually_eq(TIMEOUT, "paid".to_owned(), async || alice.status(&id).await).await;
    assert_eq!(alice.owns("gems-60").await, 2);
    let order = alice.get(&format!("/api/wx/getOrder/{id}")).await.body["order"].clone();
    assert!(
        order["transactionId"].is_string() && order["paidAt"].is_string(),
        "{order}"
    );

    let consume = json!({"productId": "gems-60", "quantity": 1});
    for _ in 0..2 {
        let used = alice
            .post("/api/wx/consume", "use-1", consume.clone())
            .await;
        assert_eq!(
            used.body["item"],
            json!({"productId": "gems-60", "quantity": 1}),
            "{used:?}"
        );
    }
    assert_eq!(alice.owns("gems-60").await, 1, "the same key consumes once");
    let too_many = json!({"productId": "gems-60", "quantity": 5});
    let refused = alice
        .post("/api/wx/consume", "use-2", too_many.clone())
        .await;
    refused.assert_problem(409, "NOT_ENOUGH_ITEMS");
    let reused = alice.post("/api/wx/consume", "use-1", too_many).await;
    reused.assert_problem(422, "IDEMPOTENCY_KEY_REUSED");
}

#[tokio::test]
async fn double_tap_creates_one_order_and_a_new_body_is_rejected() {
    let (_dev, game) = dev().await;
    let alice = game.player("alice").await;
    let taps = join_all((0..5).map(|_| alice.order("gems-60", 1, "tap"))).await;
    let ids: Vec<String> = taps.iter().map(id_of).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    alice
        .order("gems-60", 2, "tap")
        .await
        .assert_problem(422, "IDEMPOTENCY_KEY_REUSED");
    let bob = game.player("bob").await;
    assert_ne!(
        id_of(&bob.order("gems-60", 1, "tap").await),
        ids[0],
        "keys are per player"
    );

    let orders = alice.get("/api/wx/orders").await.body;
    assert_eq!(orders["orders"].as_array().unwrap().len(), 1);
    let other = bob.get(&format!("/api/wx/getOrder/{}", ids[0])).await;
    other.assert_problem(404, "ORDER_NOT_FOUND");
    let missing_key = game
        .client
        .post(game.url("/api/wx/createOrder"))
        .bearer_auth(&alice.token);
    let body = json!({"productId": "gems-60", "quantity": 1});
    send(missing_key.json(&body))
        .await
        .assert_problem(400, "HEADER_INVALID");
    alice
        .order("nothing", 1, "x")
        .await
        .assert_problem(404, "PRODUCT_NOT_FOUND");
    alice
        .order("gems-60", 0, "x")
        .await
        .assert_problem(422, "FIELD_INVALID");
    game.get("/api/wx/orders")
        .await
        .assert_problem(401, "UNAUTHENTICATED");
}

#[tokio::test]
async fn stock_and_limits_are_reserved_until_an_order_closes() {
    let (dev, game) = dev().await;
    let product = json!({"name": "Cup", "price": 100, "stock": 2, "limitPerUser": 1});
    let put = admin(&dev, &game, "PUT", "/admin/products/cup", Some(product)).await;
    assert_eq!(put.status, 200, "{put:?}");
    let (alice, bob, carol) = (
        game.player("alice").await,
        game.player("bob").await,
        game.player("carol").await,
    );
    let first = id_of(&alice.order("cup", 1, "a").await);
    alice
        .order("cup", 1, "b")
        .await
        .assert_problem(409, "LIMIT_REACHED");
    id_of(&bob.order("cup", 1, "a").await);
    carol
        .order("cup", 1, "a")
        .await
        .assert_problem(409, "OUT_OF_STOCK");
    // The stock was counted before these orders were created.
    let stale = json!({"name": "Cup", "price": 100, "stock": 5, "expectedStock": 2});
    let put = admin(&dev, &game, "PUT", "/admin/products/cup", Some(stale)).await;
    assert_eq!(put.status, 409, "{put:?}");
    assert_eq!(put.body["code"], "STOCK_CHANGED");

    let cancelled = alice
        .post(&format!("/api/wx/cancelOrder/{first}"), "c", json!({}))
        .await;
    assert_eq!(cancelled.body["order"]["status"], "closed", "{cancelled:?}");
    id_of(&carol.order("cup", 1, "a2").await);
    let at_wechat = game.ask_simulator(&format!("pay/orders/{first}")).await;
    assert_eq!(
        at_wechat["tradeState"], "CLOSED",
        "closed at WeChat too: {at_wechat}"
    );
}

#[tokio::test]
async fn repeated_late_and_reordered_callbacks_grant_once() {
    let (_dev, game) = dev().await;
    game.set("pay/callbacks", json!({"copies": 3, "reorder": true}))
        .await;
    let alice = game.player("alice").await;
    for n in 0..5 {
        let created = alice.order("gems-60", 1, &format!("k{n}")).await;
        alice.pay(&created).await;
    }
    eventually_eq(TIMEOUT, 5, async || alice.owns("gems-60").await).await;
    let callbacks = game.ask_simulator("pay/callbacks").await;
    let all = callbacks["callbacks"].as_array().unwrap().clone();
    for callback in all.iter().take(3) {
        let id = callback["id"].as_str().unwrap();
        game.simulator(&format!("pay/callbacks/{id}/repeat"), json!({"copies": 4}))
            .await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(alice.owns("gems-60").await, 5);
}

#[tokio::test]
async fn payment_with_a_lost_callback_is_found_by_query() {
    let (_dev, game) = dev().await;
    game.set("pay/callbacks", json!({"mode": "drop"})).await;
    let alice = game.player("alice").await;
    let created = alice.order("gems-60", 1, "k").await;
    alice.pay(&created).await;
    eventually_eq(TIMEOUT, 1, async || alice.owns("gems-60").await).await;
}

#[tokio::test]
async fn invalid_callbacks_grant_nothing() {
    let (dev, game) = dev().await;
    let alice = game.player("alice").await;
    let id = id_of(&alice.order("gems-60", 1, "k").await);
    let forge = |kind: &str| json!({"outTradeNo": id, "kind": kind});
    // Validly signed but contradicting the order: stored, counted, acknowledged.
    for kind in [
        "amount",
        "currency",
        "mch",
        "app",
        "state",
        "unknownOrder",
        "ciphertext",
    ] {
        let response = game.simulator("pay/callbacks/forge", forge(kind)).await;
        assert!(response.status.is_success(), "{kind}: {response:?}");
    }
    // Rejected on receipt.
    for kind in ["signature", "staleTimestamp", "signTest"] {
        game.simulator("pay/callbacks/forge", forge(kind)).await;
    }
    let callbacks = game.ask_simulator("pay/callbacks").await["callbacks"].clone();
    let mut statuses: Vec<i64> = callbacks
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|callback| callback["attempts"].as_array().cloned().unwrap_or_default())
        .filter_map(|attempt| attempt["status"].as_i64())
        .collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [204, 204, 204, 204, 204, 204, 204, 401, 401, 401]);
    let metric = |outcome: &str| {
        format!("avalon_payment_callbacks_total{{channel=\"wechat_pay\",outcome=\"{outcome}\"}} ")
    };
    eventually_eq(TIMEOUT, true, async || {
        let text = game
            .client
            .get(format!("{}/metrics", dev.ops))
            .send()
            .await
            .unwrap();
        let text = text.text().await.unwrap();
        let expected = [
            "mismatch",
            "other_merchant",
            "other_app",
            "not_paid",
            "unknown_order",
            "unreadable",
        ];
        expected
            .iter()
            .all(|outcome| text.contains(&metric(outcome)))
    })
    .await;
    assert_eq!(
        (
            alice.status(&id).await.as_str(),
            alice.owns("gems-60").await
        ),
        ("pending", 0)
    );
    let raw = game.client.post(game.url("/api/wx/pay/notify")).body("{}");
    let response = send(raw).await;
    assert_eq!(
        (response.status.as_u16(), &response.body["code"]),
        (401, &json!("FAIL"))
    );
}

#[tokio::test]
async fn unpaid_order_expires_here_and_at_wechat() {
    let dev = Avalon::command("dev")
        .env("AVALON_PAY__ORDER_TTL", "2s")
        .env("AVALON_PAY__RECONCILE_AFTER", "1s")
        .start()
        .await;
    let game = Game::of(&dev, &dev);
    let alice = game.player("alice").await;
    let id = id_of(&alice.order("gems-60", 1, "k").await);
    eventually_eq(TIMEOUT, "closed".to_owned(), async || {
        alice.status(&id).await
    })
    .await;
    let at_wechat = game.ask_simulator(&format!("pay/orders/{id}")).await;
    assert_eq!(at_wechat["tradeState"], "CLOSED", "{at_wechat}");
}

#[tokio::test]
async fn cancellation_loses_to_a_completed_payment() {
    let (_dev, game) = dev().await;
    game.set("pay/callbacks", json!({"mode": "drop"})).await;
    let alice = game.player("alice").await;
    let created = alice.order("gems-60", 1, "k").await;
    let id = id_of(&created);
    alice.pay(&created).await;
    let cancel = alice
        .post(&format!("/api/wx/cancelOrder/{id}"), "c", json!({}))
        .await;
    cancel.assert_problem(409, "ORDER_STATE");
    assert_eq!(
        (
            alice.status(&id).await.as_str(),
            alice.owns("gems-60").await
        ),
        ("paid", 1)
    );
}

#[tokio::test]
async fn late_payment_is_refunded_when_configured() {
    let dev = Avalon::command("dev")
        .env("AVALON_PAY__LATE_PAYMENT", "refund")
        .start()
        .await;
    let game = Game::of(&dev, &dev);
    game.set("pay/callbacks", json!({"mode": "drop"})).await;
    let alice = game.player("alice").await;
    let created = alice.order("gems-60", 1, "k").await;
    let id = id_of(&created);
    alice.pay(&created).await;
    let cancel = alice
        .post(&format!("/api/wx/cancelOrder/{id}"), "c", json!({}))
        .await;
    assert_eq!(cancel.status, 200, "{cancel:?}");
    eventually_eq(TIMEOUT, "refunded".to_owned(), async || {
        alice.status(&id).await
    })
    .await;
    assert_eq!(alice.owns("gems-60").await, 0);
}

#[tokio::test]
async fn partial_and_full_refunds_revoke_their_items() {
    let (dev, game) = dev().await;
    let alice = game.player("alice").await;
    let created = alice.order("gems-60", 3, "k").await;
    let id = id_of(&created);
    alice.pay(&created).await;
    eventually_eq(TIMEOUT, 3, async || alice.owns("gems-60").await).await;

    let refund = |key: &str, body: Value| {
        let request = game
            .client
            .post(format!("{}/admin/orders/{id}/refund", dev.ops))
            .bearer_auth(FleetSettings::ADMIN_TOKEN)
            .header("idempotency-key", key);
        send(request.json(&body))
    };
    let part = json!({"amount": 600, "quantity": 1, "reason": "one was broken"});
    for _ in 0..2 {
        assert_eq!(
            refund("part", part.clone()).await.status,
            202,
            "the same key, the same refund"
        );
    }
    // The item is taken when the refund is decided, the fee is known when WeChat has paid it.
    assert_eq!(alice.owns("gems-60").await, 2);
    let order = async || alice.get(&format!("/api/wx/getOrder/{id}")).await.body["order"].clone();
    eventually_eq(TIMEOUT, json!(600), async || {
        order().await["refundedFee"].clone()
    })
    .await;
    assert_eq!(order().await["status"], "paid");

    let too_much = json!({"amount": 1300, "reason": "x"});
    let refused = refund("more", too_much).await;
    assert_eq!(
        (refused.status.as_u16(), refused.code()),
        (409, "REFUND_TOO_LARGE")
    );

    assert_eq!(
        refund("rest", json!({"reason": "all of it"})).await.status,
        202
    );
    eventually_eq(TIMEOUT, "refunded".to_owned(), async || {
        alice.status(&id).await
    })
    .await;
    assert_eq!(alice.owns("gems-60").await, 0);
    let shown = admin(&dev, &game, "GET", &format!("/admin/orders/{id}"), None)
        .await
        .body;
    assert!(shown["history"].as_array().unwrap().len() >= 4, "{shown}");
    let listed = admin(
        &dev,
        &game,
        "GET",
        "/admin/orders?status=refunded&limit=5",
        None,
    )
    .await
    .body;
    assert_eq!(listed["orders"][0]["_id"], id, "{listed}");
    let sums = admin(
        &dev,
        &game,
        "GET",
        "/admin/stats/payments?from=2020-01-01T00:00:00Z",
        None,
    )
    .await;
    let expected =
        json!({"status": "refunded", "orders": 1, "totalFee": 1800, "refundedFee": 1800});
    assert_eq!(sums.body["statuses"], json!([expected]), "{sums:?}");
    let invalid = admin(&dev, &game, "GET", "/admin/orders?from=yesterday", None).await;
    assert_eq!(
        (invalid.status.as_u16(), invalid.code()),
        (400, "QUERY_INVALID")
    );
}
