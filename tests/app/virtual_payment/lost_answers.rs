//! Answers that are lost after the call has taken effect, of each of the five calls: the connection is cut, or WeChat
//! reports -1. Nothing is spent, granted or given back twice.

use avalon_tests::app::TestApp;
use reqwest::Method;
use serde_json::{Value, json};

use super::{Shop, TIMEOUT};

/// The ways in which the answer of a call is lost.
fn lost(api: &str) -> [Value; 2] {
    [
        json!({"outage": "reset", "outageAfter": true, "api": api}),
        json!({"errcode": -1, "errorAfter": true, "api": api}),
    ]
}

impl Shop {
    /// How often WeChat has applied each number of the player's changes of coins.
    async fn applied(&self) -> Vec<i64> {
        let path = format!("players/{}/bills", self.open_id);
        let body = self.simulate(Method::GET, &path, json!({})).await;
        let bills = body["bills"].as_array().unwrap().iter();
        bills.map(|bill| bill["times"].as_i64().unwrap()).collect()
    }

    /// What WeChat has of the player's coins: bought, granted, spent.
    async fn sums(&self) -> [i64; 3] {
        let path = format!("players/{}/coins", self.open_id);
        let body = self.simulate(Method::GET, &path, json!({})).await;
        let ledger = &body["ledgers"][0]["ledger"];
        ["sumSave", "sumPresent", "sumCost"].map(|sum| ledger[sum].as_i64().unwrap())
    }

    /// Runs due attempts until the only change of this kind is done.
    async fn until_done(&self, kind: &str) {
        let path = format!("/admin/users/{}/coins", self.open_id);
        avalon_test_support::eventually_eq(TIMEOUT, vec!["done".to_owned()], async || {
            self.sweep().await;
            let ledger = self.app.send(self.app.admin(Method::GET, &path)).await.body;
            let changes = ledger["changes"].as_array().unwrap().iter();
            changes
                .filter(|change| change["kind"] == kind)
                .map(|change| change["state"].as_str().unwrap().to_owned())
                .collect()
        })
        .await;
    }
}

#[tokio::test]
async fn lost_answers_of_spends_spend_nothing_twice() {
    for fault in lost("vpay_spend") {
        let shop = Shop::open().await;
        shop.give_coins(100).await;
        shop.fault(fault.clone()).await;
        let unclear = shop.spend("k").await;
        assert_eq!(unclear.status, 202, "{fault}: {unclear:?}");
        assert_eq!(
            shop.owned().await,
            0,
            "not before WeChat has answered clearly"
        );
        assert_eq!(shop.sums().await, [100, 0, 60], "{fault}");
        shop.fault(json!({})).await;
        let id = shop.get("/api/wx/orders").await["orders"][0]["_id"].clone();
        shop.until(id.as_str().unwrap(), "paid").await;
        assert_eq!((shop.owned().await, shop.coins().await), (1, 40), "{fault}");
        assert_eq!(shop.sums().await, [100, 0, 60], "{fault}");
        assert_eq!(shop.applied().await, [1], "{fault}");
    }
}

#[tokio::test]
async fn lost_answers_of_returns_give_nothing_back_twice() {
    for fault in lost("vpay_cancel_spend") {
        let shop = Shop::open().await;
        shop.give_coins(100).await;
        let spent = shop.spend("k").await;
        let id = spent.body["orderId"].as_str().unwrap();
        shop.fault(fault.clone()).await;
        let path = format!("/admin/orders/{id}/returnCoins");
        for _ in 0..2 {
            assert_eq!(shop.operator(&path, "r", 60).await.status, 202, "{fault}");
        }
        assert_eq!(shop.owned().await, 1, "unclear: {fault}");
        assert_eq!(shop.sums().await, [100, 0, 0], "{fault}");
        shop.fault(json!({})).await;
        shop.until_done("return").await;
        assert_eq!(shop.order_of(id).await["status"], "refunded", "{fault}");
        assert_eq!(
            (shop.owned().await, shop.coins().await),
            (0, 100),
            "{fault}"
        );
        assert_eq!(shop.sums().await, [100, 0, 0], "{fault}");
        assert_eq!(shop.applied().await, [1, 1], "{fault}");
    }
}

#[tokio::test]
async fn lost_answers_of_presents_grant_nothing_twice() {
    for fault in lost("vpay_present") {
        let shop = Shop::open().await;
        shop.fault(fault.clone()).await;
        let path = format!("/admin/users/{}/coins", shop.open_id);
        for _ in 0..2 {
            assert_eq!(shop.operator(&path, "p", 7).await.status, 202, "{fault}");
        }
        assert_eq!(shop.sums().await, [0, 7, 0], "{fault}");
        shop.fault(json!({})).await;
        shop.until_done("present").await;
        assert_eq!(shop.coins().await, 7, "{fault}");
        assert_eq!(shop.sums().await, [0, 7, 0], "{fault}");
        assert_eq!(shop.applied().await, [1], "{fault}");
    }
}

#[tokio::test]
async fn lost_answers_of_queries_grant_nothing_twice() {
    for fault in lost("vpay_query_order") {
        let settings = TestApp::builder().set("PAY__RECONCILE_AFTER", "2s");
        let shop = Shop::open_with(settings).await;
        let (id, params) = shop.offered("k", "cup", 2).await;
        shop.sheet(&params, json!({"notify": "never"})).await;
        shop.fault(fault.clone()).await;
        avalon_test_support::eventually_eq(TIMEOUT, true, async || {
            shop.app.run_due().await;
            shop.calls("vpay_query_order").await > 0
        })
        .await;
        assert_eq!(shop.order_of(&id).await["status"], "pending", "{fault}");
        assert_eq!(shop.owned().await, 0, "{fault}");
        shop.fault(json!({})).await;
        shop.until(&id, "paid").await;
        assert_eq!(shop.owned().await, 2, "{fault}");
        shop.sweep().await;
        assert_eq!(shop.owned().await, 2, "{fault}");
    }
}

#[tokio::test]
async fn lost_answers_about_the_balance_change_nothing() {
    for fault in lost("vpay_balance") {
        let shop = Shop::open().await;
        shop.give_coins(100).await;
        assert_eq!(shop.spend("k").await.status, 200);
        shop.fault(fault.clone()).await;
        // Its job may still be retried at the end, or have used up its attempts.
        shop.app.expect_leftover("read_coins");
        shop.app.allow_dead("read_coins");
        let request = shop.app.request(Method::GET, "/api/wx/coins");
        let request = request.bearer_auth(&shop.token).header("prefer", "wait=1");
        let unclear = shop.app.send(request).await;
        assert!(
            [202, 503].contains(&unclear.status.as_u16()),
            "{fault}: {unclear:?}"
        );
        shop.fault(json!({})).await;
        avalon_test_support::eventually_eq(TIMEOUT, json!(40), async || {
            shop.get("/api/wx/coins").await["balance"].clone()
        })
        .await;
        assert_eq!(shop.sums().await, [100, 0, 60], "{fault}");
        assert_eq!((shop.owned().await, shop.applied().await), (1, vec![1]));
    }
}
