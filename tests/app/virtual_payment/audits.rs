//! The daily comparison of coins with WeChat's sums, and changes that can never be sent.

use avalon_queue::NewJob;
use avalon_tests::app::TestApp;
use avalon_workers::AuditCoins;
use reqwest::Method;
use serde_json::json;

use super::{Shop, TIMEOUT};

impl Shop {
    /// Runs the comparison of all players now, as if their day had passed.
    async fn audit(&self) {
        let database = self.app.app.database.pool();
        for statement in [
            "UPDATE coin_audits SET due_at = 0 WHERE due_at IS NOT NULL",
            // Coins are not late any more.
            "UPDATE orders SET paid_at = 0 WHERE paid_at IS NOT NULL",
        ] {
            sqlx::query(statement).execute(database).await.unwrap();
        }
        let mut job = NewJob::from_job(&AuditCoins {});
        job.idempotency = None;
        self.app.app.queue.enqueue(job).await.unwrap();
        self.app.run_due().await;
    }

    async fn metric(&self, name: &str) -> f64 {
        let request = self.app.admin(Method::GET, "/metrics");
        let text = request.send().await.unwrap().text().await.unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.map_or(0.0, |value| value.trim().parse().unwrap())
    }

    async fn outcome(&self, outcome: &str) -> f64 {
        let name = format!("avalon_coin_audits_total{{outcome=\"{outcome}\"}}");
        self.metric(&name).await
    }

    async fn change(&self, path: &str, key: &str, amount: i64) {
        let request = self.app.admin(Method::POST, path);
        let request = request.header("idempotency-key", key);
        let body = json!({"amount": amount, "reason": "test"});
        let response = self.app.send(request.json(&body)).await;
        assert_eq!(response.status, 202, "{response:?}");
    }
}

/// Whatever WeChat's sums say of returned coins.
#[tokio::test]
async fn bought_spent_returned_and_presented_coins_agree() {
    for lowers_cost in [true, false] {
        let shop = Shop::open().await;
        let settings = json!({ "cancelLowersCost": lowers_cost });
        shop.simulate(Method::PUT, "settings", settings).await;
        let (pack, params) = shop.offered("k", "pack", 2).await;
        shop.sheet(&params, json!({})).await;
        shop.until(&pack, "paid").await;
        let body = json!({"productId": "cup", "quantity": 1, "payWith": "coins"});
        let spent = shop.order("s", body).await;
        assert_eq!(spent.status, 200, "{spent:?}");
        let order = spent.body["orderId"].as_str().unwrap();
        let path = format!("/admin/orders/{order}/returnCoins");
        shop.change(&path, "r", 20).await;
        let path = format!("/admin/users/{}/coins", shop.open_id);
        shop.change(&path, "p", 7).await;

        shop.audit().await;
        assert_eq!(shop.outcome("agrees").await, 1.0, "{lowers_cost}");
        // The baseline is empty, so a second comparison is strict.
        let kept: (i64, i64, i64) =
            sqlx::query_as("SELECT saved_before, presented_before, spent_before FROM coin_audits")
                .fetch_one(shop.app.app.database.pool())
                .await
                .unwrap();
        assert_eq!(kept, (0, 0, 0));
        shop.change(&path, "p2", 5).await;
        shop.audit().await;
        assert_eq!(shop.outcome("agrees").await, 2.0, "{lowers_cost}");
        assert_eq!(shop.metric("avalon_coin_audit_differences").await, 0.0);
    }
}

#[tokio::test]
async fn coins_that_nothing_here_knows_of_are_exported() {
    let shop = Shop::open().await;
    let path = format!("/admin/users/{}/coins", shop.open_id);
    shop.change(&path, "p", 7).await;
    shop.audit().await;
    assert_eq!(shop.outcome("agrees").await, 1.0);
    // Bought in a way that reports nothing to us.
    let coins = format!("players/{}/coins", shop.open_id);
    shop.simulate(Method::POST, &coins, json!({"bought": 50}))
        .await;
    shop.audit().await;
    assert_eq!(
        shop.metric("avalon_coin_audit_differences").await,
        0.0,
        "not yet"
    );
    shop.audit().await;
    assert_eq!(shop.outcome("differs").await, 2.0);
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    avalon_test_support::eventually_eq(TIMEOUT, true, async || {
        shop.metric("avalon_coin_audit_differences").await > 0.5
    })
    .await;
}

#[tokio::test]
async fn dead_session_key_is_asked_for_once() {
    let mut shop = Shop::open().await;
    let path = format!("/admin/users/{}/coins", shop.open_id);
    shop.change(&path, "p", 7).await;
    shop.kill_session_key().await;
    let before = shop.calls("vpay_balance").await;
    for _ in 0..3 {
        shop.audit().await;
    }
    assert_eq!(shop.calls("vpay_balance").await, before + 1);
    assert_eq!(shop.outcome("awaits_sign_in").await, 1.0);
    shop.sign_in().await;
    avalon_test_support::eventually_eq(TIMEOUT, 1.0, async || {
        shop.audit().await;
        shop.outcome("agrees").await.min(1.0)
    })
    .await;
}

#[tokio::test]
async fn outage_ends_the_run_and_leaves_the_player_due() {
    let shop = Shop::open().await;
    let path = format!("/admin/users/{}/coins", shop.open_id);
    shop.change(&path, "p", 7).await;
    shop.fault(json!({"errcode": -1, "api": "vpay_balance"}))
        .await;
    shop.audit().await;
    assert_eq!(shop.outcome("failed").await, 1.0);
    shop.fault(json!({})).await;
    shop.audit().await;
    assert_eq!(shop.outcome("agrees").await, 1.0);
}

/// It was retried for ever, and reported as a missing AppKey.
#[tokio::test]
async fn change_that_can_never_be_sent_is_ended() {
    let shop = Shop::open().await;
    let path = format!("/admin/users/{}/coins", shop.open_id);
    shop.fault(json!({"errcode": -1, "api": "vpay_present"}))
        .await;
    shop.change(&path, "p", 7).await;
    // No number of WeChat's begins so.
    sqlx::query("UPDATE coin_changes SET id = '_' || id, next_try_at = 0, sent_at = NULL")
        .execute(shop.app.app.database.pool())
        .await
        .unwrap();
    let calls = shop.calls("vpay_present").await;
    avalon_test_support::eventually_eq(TIMEOUT, json!("refused"), async || {
        let mut sweep = NewJob::from_job(&avalon_workers::Sweep {});
        sweep.idempotency = None;
        shop.app.app.queue.enqueue(sweep).await.unwrap();
        shop.app.run_due().await;
        let ledger = shop.app.send(shop.app.admin(Method::GET, &path)).await.body;
        ledger["changes"][0]["state"].clone()
    })
    .await;
    assert_eq!(shop.calls("vpay_present").await, calls);
    let spends = "avalon_coin_spends_total{kind=\"present\",outcome=\"invalid\"}";
    assert_eq!(shop.metric(spends).await, 1.0);
}

/// The process that recorded the payments has stopped before it applied the refunds.
#[tokio::test]
async fn lost_refunds_are_found_by_every_number() {
    let shop = Shop::open().await;
    let order = json!({"openid": shop.open_id, "productId": "cup", "quantity": 1});
    for _ in 0..2 {
        shop.simulate(Method::POST, "store-orders", order.clone())
            .await;
    }
    let database = shop.app.app.database.pool();
    let paid = "SELECT count(*) FROM orders WHERE status = 'paid'";
    avalon_test_support::eventually_eq(TIMEOUT, 2_i64, async || {
        shop.app.run_due().await;
        sqlx::query_scalar(paid).fetch_one(database).await.unwrap()
    })
    .await;
    for refund in [
        "INSERT INTO channel_refunds (id, out_trade_no, amount, source, at)
         SELECT 'r1', out_trade_no, 600, 'console', 0 FROM store_orders ORDER BY order_id LIMIT 1",
        "INSERT INTO channel_refunds (id, transaction_id, amount, source, at)
         SELECT 'r2', transaction_id, 600, 'console', 0 FROM orders ORDER BY id DESC LIMIT 1",
    ] {
        let stored = sqlx::query(refund).execute(database).await.unwrap();
        assert_eq!(stored.rows_affected(), 1);
    }
    let sweep = NewJob::from_job(&avalon_workers::Sweep {});
    shop.app.app.queue.enqueue(sweep).await.unwrap();
    shop.app.run_due().await;
    let refunded = "SELECT count(*) FROM orders WHERE status = 'refunded'";
    let refunded: i64 = sqlx::query_scalar(refunded)
        .fetch_one(database)
        .await
        .unwrap();
    assert_eq!(refunded, 2);
    assert_eq!(shop.owned().await, 0);
}

#[tokio::test]
async fn test_orders_are_no_part_of_sums() {
    let settings = TestApp::builder().set("VPAY__SANDBOX", "true");
    let shop = Shop::open_with(settings.set("VPAY__SANDBOX_GRANTS", "true")).await;
    let order = |version: &str| {
        json!({"productId": "cup", "quantity": 1, "channel": "virtual_payment",
            "envVersion": version, "platform": "android"})
    };
    for (key, version) in [("k1", "release"), ("k2", "develop"), ("k3", "trial")] {
        assert_eq!(shop.order(key, order(version)).await.status, 200);
    }
    let sums = shop.app.admin(Method::GET, "/admin/stats/payments");
    let sums = shop.app.send(sums).await.body;
    assert_eq!(sums["statuses"][0]["orders"], 1, "{sums}");
    assert_eq!(sums["statuses"][0]["totalFee"], 600);
}
