//! What takes a live session key waits for the player's sign-in, and asks nothing in vain before.

use std::time::{Duration, Instant};

use avalon_tests::app::TestApp;
use serde_json::json;

use super::Shop;

impl Shop {
    /// Makes the next attempts due and runs them until the order has this state.
    pub(super) async fn sweep_until(&self, id: &str, status: &str) {
        avalon_test_support::eventually_eq(super::TIMEOUT, json!(status), async || {
            self.sweep().await;
            tokio::time::sleep(Duration::from_millis(50)).await;
            self.order_of(id).await["status"].clone()
        })
        .await;
    }

    /// Makes the next attempts due and runs them.
    pub(super) async fn sweep(&self) {
        let database = self.app.app.database.pool();
        sqlx::query("UPDATE coin_changes SET next_try_at = 0 WHERE next_try_at IS NOT NULL")
            .execute(database)
            .await
            .unwrap();
        let sweep = avalon_queue::NewJob::from_job(&avalon_workers::Sweep {});
        let now = avalon_queue::IdempotencyKey::new("sweep", Duration::from_millis(1));
        self.app
            .app
            .queue
            .enqueue(sweep.once_per(now))
            .await
            .unwrap();
        self.app.run_due().await;
    }

    /// Moves an order by this time into the past.
    async fn age(&self, id: &str, by: Duration) {
        sqlx::query(
            "UPDATE orders SET created_at = created_at - $1, expires_at = expires_at - $1,
                    submitted_at = submitted_at - $1, prepaid_at = prepaid_at - $1,
                    next_check_at = next_check_at - $1
             WHERE id = $2",
        )
        .bind(i64::try_from(by.as_millis()).unwrap())
        .bind(id)
        .execute(self.app.app.database.pool())
        .await
        .unwrap();
    }
}

#[tokio::test]
async fn lost_push_is_made_up_for_at_the_next_sign_in() {
    // The first query comes after the payment and the end of the session key.
    let settings = TestApp::builder().set("PAY__RECONCILE_AFTER", "2s");
    let mut shop = Shop::open_with(settings).await;
    let (id, params) = shop.offered("k", "cup", 1).await;
    shop.sheet(&params, json!({"notify": "never"})).await;
    shop.kill_session_key().await;
    // The one query that finds the key dead.
    avalon_test_support::eventually_eq(super::TIMEOUT, 1, async || {
        shop.app.run_due().await;
        shop.calls("vpay_query_order").await
    })
    .await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    shop.app.run_due().await;
    assert_eq!(shop.calls("vpay_query_order").await, 1);
    assert_eq!(shop.order_of(&id).await["status"], "pending");
    shop.sign_in().await;
    shop.until(&id, "paid").await;
    assert_eq!(
        (shop.owned().await, shop.calls("vpay_query_order").await),
        (1, 2)
    );
}

#[tokio::test]
async fn lost_push_is_made_up_for_within_two_seconds_a_day_later() {
    let settings = TestApp::builder().set("PAY__RECONCILE_AFTER", "2s");
    let mut shop = Shop::open_with(settings).await;
    let (id, params) = shop.offered("k", "cup", 2).await;
    shop.sheet(&params, json!({"notify": "never"})).await;
    shop.kill_session_key().await;
    // The one query that finds the key dead, which nothing could have reported before.
    avalon_test_support::eventually_eq(super::TIMEOUT, 1, async || {
        shop.app.run_due().await;
        shop.calls("vpay_query_order").await
    })
    .await;
    let hour = json!({"seconds": 3600});
    for _ in 0..24 {
        shop.age(&id, Duration::from_secs(3600)).await;
        shop.simulate(reqwest::Method::POST, "clock/advance", hour.clone())
            .await;
        shop.sweep().await;
    }
    assert_eq!(shop.order_of(&id).await["status"], "closed");
    assert_eq!(shop.owned().await, 0);
    assert_eq!(shop.calls("vpay_query_order").await, 1, "none in vain");
    shop.sign_in().await;
    let signed_in = Instant::now();
    shop.until(&id, "paid").await;
    assert_eq!(shop.owned().await, 2);
    assert!(signed_in.elapsed() < Duration::from_secs(2));
    assert_eq!(shop.calls("vpay_query_order").await, 2);
}

#[tokio::test]
async fn expired_order_that_waits_is_closed_and_still_found() {
    // The first query comes when the key is dead, and before the order expires.
    let settings = TestApp::builder().set("PAY__RECONCILE_AFTER", "1s");
    let mut shop = Shop::open_with(settings.set("PAY__ORDER_TTL", "2s")).await;
    let (id, params) = shop.offered("k", "cup", 1).await;
    shop.sheet(&params, json!({"notify": "never"})).await;
    shop.kill_session_key().await;
    avalon_test_support::eventually_eq(super::TIMEOUT, 1, async || {
        shop.app.run_due().await;
        shop.calls("vpay_query_order").await
    })
    .await;
    // The sweeper finds it some seconds after its expiry.
    let database = shop.app.app.database.pool();
    tokio::time::sleep(Duration::from_secs(1)).await;
    sqlx::query("UPDATE orders SET next_check_at = 1 WHERE next_check_at IS NOT NULL")
        .execute(database)
        .await
        .unwrap();
    shop.sweep_until(&id, "closed").await;
    assert_eq!(shop.calls("vpay_query_order").await, 1);
    shop.sign_in().await;
    shop.until(&id, "paid").await;
    assert_eq!(shop.owned().await, 1);
}

#[tokio::test]
async fn spend_with_a_dead_key_continues_after_the_sign_in() {
    let mut shop = Shop::open().await;
    shop.kill_session_key().await;
    let order = json!({"productId": "cup", "quantity": 1, "payWith": "coins"});
    shop.order("k", order.clone())
        .await
        .assert_problem(401, "SIGN_IN_AGAIN");
    shop.order("k", order.clone()).await;
    assert_eq!(
        shop.calls("vpay_spend").await,
        1,
        "the key is known to be dead"
    );
    let path = format!("players/{}/coins", shop.open_id);
    shop.simulate(reqwest::Method::POST, &path, json!({"bought": 60}))
        .await;
    shop.sign_in().await;
    let repeated = shop.order("k", order).await;
    assert_eq!(repeated.status, 200, "{repeated:?}");
    assert_eq!(shop.owned().await, 1);
}

#[tokio::test]
async fn balance_is_the_last_known_one_while_the_key_is_dead() {
    let shop = Shop::open().await;
    let fresh = shop.get("/api/wx/coins").await;
    assert_eq!(
        (&fresh["balance"], &fresh["stale"]),
        (&json!(0), &json!(false))
    );
    shop.kill_session_key().await;
    let stale = shop.get("/api/wx/coins").await;
    assert_eq!(
        (&stale["balance"], &stale["stale"]),
        (&json!(0), &json!(true))
    );
    assert_eq!(stale["asOf"], fresh["asOf"]);
}
