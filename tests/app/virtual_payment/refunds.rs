//! Refunds that happen at WeChat, which merely reports them.

use avalon_tests::app::TestApp;
use reqwest::Method;
use serde_json::{Value, json};

use super::{Shop, TIMEOUT};

const REFUND: &str = "minigame_pay_refund_succ_notify";

impl Shop {
    async fn bought(&self, key: &str, quantity: i64) -> String {
        let (id, params) = self.offered(key, "cup", quantity).await;
        self.sheet(&params, json!({})).await;
        self.until(&id, "paid").await;
        id
    }

    async fn refund(&self, body: Value) {
        self.simulate(Method::POST, "refunds", body).await;
    }

    /// Runs jobs until so many refunds were processed; returns the last one's outcome.
    async fn refunded(&self, number: usize) -> String {
        avalon_test_support::eventually_eq(TIMEOUT, (number, false), async || {
            let outcomes = self.outcomes(REFUND).await;
            (outcomes.len(), outcomes.iter().any(|it| it == "pending"))
        })
        .await;
        self.outcomes(REFUND).await.pop().unwrap()
    }

    async fn consume(&self, quantity: i64) {
        let request = self
            .app
            .request(Method::POST, "/api/wx/consume")
            .bearer_auth(&self.token);
        let request = request.header("idempotency-key", "c");
        let body = json!({"productId": "cup", "quantity": quantity});
        assert_eq!(self.app.send(request.json(&body)).await.status, 200);
    }
}

#[tokio::test]
async fn full_refund_revokes_the_items() {
    let shop = Shop::open().await;
    let id = shop.bought("k", 2).await;
    shop.refund(json!({"outTradeNo": id, "amount": 1200})).await;
    assert_eq!(shop.refunded(1).await, "refunded");
    let order = shop.order_of(&id).await;
    assert_eq!(
        (&order["status"], &order["refundedFee"]),
        (&json!("refunded"), &json!(1200))
    );
    assert_eq!(shop.owned().await, 0);
}

#[tokio::test]
async fn partial_refunds_add_up() {
    let shop = Shop::open().await;
    let id = shop.bought("k", 2).await;
    let part = |refund: &str| json!({"outTradeNo": id, "amount": 500, "refundId": refund});
    shop.refund(part("r1")).await;
    assert_eq!(shop.refunded(1).await, "refunded");
    let order = shop.order_of(&id).await;
    assert_eq!(
        (&order["status"], &order["refundedFee"]),
        (&json!("paid"), &json!(500))
    );
    assert_eq!(shop.owned().await, 2);
    shop.refund(json!({"outTradeNo": id, "amount": 700, "refundId": "r2"}))
        .await;
    assert_eq!(shop.refunded(2).await, "refunded");
    assert_eq!(shop.order_of(&id).await["status"], "refunded");
    assert_eq!(shop.owned().await, 0);
}

#[tokio::test]
async fn refund_without_a_number_is_found_by_its_payment() {
    let shop = Shop::open().await;
    let id = shop.bought("k", 1).await;
    shop.refund(json!({"outTradeNo": id, "amount": 600, "unnamed": true}))
        .await;
    assert_eq!(shop.refunded(1).await, "refunded");
    assert_eq!(shop.order_of(&id).await["status"], "refunded");
}

#[tokio::test]
async fn refund_before_its_payment_takes_effect_with_it() {
    let shop = Shop::open().await;
    shop.simulate(Method::PUT, "push-settings", json!({"mode": "hold"}))
        .await;
    let (id, params) = shop.offered("k", "cup", 2).await;
    shop.sheet(&params, json!({})).await;
    shop.refund(json!({"outTradeNo": id, "amount": 1200})).await;
    let pushes = shop
        .simulate(Method::GET, &format!("pushes?event={REFUND}"), json!({}))
        .await;
    let refund = pushes["pushes"][0]["id"].clone();
    shop.simulate(Method::POST, "pushes/release", json!({"ids": [refund]}))
        .await;
    assert_eq!(shop.refunded(1).await, "waits");
    assert_eq!(shop.order_of(&id).await["status"], "pending");
    shop.simulate(Method::POST, "pushes/release", json!({}))
        .await;
    shop.until(&id, "refunded").await;
    assert_eq!(shop.owned().await, 0);
}

#[tokio::test]
async fn refund_before_a_queried_payment_takes_effect_with_it() {
    let shop = Shop::open().await;
    let (id, params) = shop.offered("k", "cup", 2).await;
    shop.sheet(&params, json!({"notify": "never"})).await;
    shop.refund(json!({"outTradeNo": id, "unnamed": true}))
        .await;
    assert_eq!(shop.refunded(1).await, "waits");
    // A cancellation queries at once.
    let cancel = shop
        .app
        .request(Method::POST, &format!("/api/wx/cancelOrder/{id}"));
    let cancelled = shop.app.send(cancel.bearer_auth(&shop.token)).await;
    assert_eq!(cancelled.status, 200, "{cancelled:?}");
    assert_eq!(shop.order_of(&id).await["status"], "refunded");
    assert_eq!(shop.owned().await, 0);
}

/// A worker may stop between a payment and the refunds that waited for it.
#[tokio::test]
async fn sweeper_applies_refunds_that_a_crash_left_waiting() {
    let shop = Shop::open().await;
    let order = json!({"openid": shop.open_id, "productId": "cup", "quantity": 2});
    let order = shop.simulate(Method::POST, "store-orders", order).await;
    avalon_test_support::eventually_eq(TIMEOUT, 2, async || {
        shop.app.run_due().await;
        shop.owned().await
    })
    .await;
    let paid = shop.bought("k", 1).await;
    let payment = shop.order_of(&paid).await["transactionId"].clone();
    for (refund, number, payment, amount) in [
        ("of-the-store", order["outTradeNo"].as_str(), None, 1200),
        ("unnamed", None, payment.as_str(), 600),
    ] {
        sqlx::query(
            "INSERT INTO channel_refunds (id, out_trade_no, transaction_id, amount, source, at)
             VALUES ($1, $2, $3, $4, 'console', 1)",
        )
        .bind(refund)
        .bind(number)
        .bind(payment)
        .bind(amount)
        .execute(shop.app.app.database.pool())
        .await
        .unwrap();
    }
    shop.sweep().await;
    assert_eq!(shop.owned().await, 0);
    let orders = shop.get("/api/wx/orders").await;
    for order in orders["orders"].as_array().unwrap() {
        assert_eq!(order["status"], "refunded", "{order}");
    }
}

#[tokio::test]
async fn refund_of_an_unknown_order_or_of_too_much_waits_or_fails() {
    let shop = Shop::open().await;
    let unknown = json!({"outTradeNo": "01M8MPXFF6EWH2X8SPS3QZS4QJ", "amount": 600});
    shop.refund(unknown).await;
    assert_eq!(shop.refunded(1).await, "waits");
    // The simulator refunds no more than was paid; a report of more is that of an unknown payment's refund.
    shop.simulate(Method::PUT, "push-settings", json!({"mode": "hold"}))
        .await;
    let (id, params) = shop.offered("k", "cup", 1).await;
    shop.refund(json!({"outTradeNo": id, "amount": 601, "refundId": "too-much"}))
        .await;
    shop.simulate(Method::POST, "pushes/release", json!({}))
        .await;
    assert_eq!(shop.refunded(2).await, "waits");
    shop.simulate(Method::PUT, "push-settings", json!({"mode": "normal"}))
        .await;
    shop.sheet(&params, json!({})).await;
    shop.until(&id, "paid").await;
    shop.app.run_due().await;
    assert_eq!(shop.order_of(&id).await["status"], "paid");
    assert_eq!(shop.owned().await, 1);
}

#[tokio::test]
async fn player_who_used_what_was_refunded_is_listed_and_blocked() {
    let shop = Shop::open_with(TestApp::builder().set("VPAY__REFUND_BLOCK", "1d")).await;
    let id = shop.bought("k", 3).await;
    shop.consume(2).await;
    shop.refund(json!({"outTradeNo": id, "amount": 1800})).await;
    assert_eq!(shop.refunded(1).await, "refunded");
    assert_eq!(shop.owned().await, 0);
    let listed = shop
        .app
        .send(shop.app.admin(Method::GET, "/admin/players/refunds"))
        .await;
    let player = &listed.body["players"][0];
    assert_eq!(
        (&player["openId"], &player["items"]),
        (&json!(shop.open_id), &json!(2))
    );
    let order = json!({"productId": "cup", "quantity": 1, "channel": "virtual_payment"});
    shop.order("k2", order)
        .await
        .assert_problem(403, "REFUND_BLOCKED");
}

#[tokio::test]
async fn operators_refund_in_wechats_console() {
    let shop = Shop::open().await;
    let id = shop.bought("k", 1).await;
    let refund = shop
        .app
        .admin(Method::POST, &format!("/admin/orders/{id}/refund"));
    let refund = refund
        .header("idempotency-key", "r")
        .json(&json!({"reason": "sorry"}));
    shop.app
        .send(refund)
        .await
        .assert_problem(409, "REFUND_ELSEWHERE");
}
