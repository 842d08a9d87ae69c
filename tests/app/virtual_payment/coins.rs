//! Coins: bought, spent once per intent, given back, presented.

use reqwest::Method;
use serde_json::{Value, json};

use super::Shop;

impl Shop {
    pub(super) async fn coins(&self) -> i64 {
        self.get("/api/wx/coins").await["balance"].as_i64().unwrap()
    }

    pub(super) async fn give_coins(&self, bought: i64) {
        let path = format!("players/{}/coins", self.open_id);
        self.simulate(Method::POST, &path, json!({"bought": bought}))
            .await;
    }

    pub(super) async fn spend(&self, key: &str) -> avalon_tests::ApiResponse {
        self.order(
            key,
            json!({"productId": "cup", "quantity": 1, "payWith": "coins"}),
        )
        .await
    }

    pub(super) async fn fault(&self, fault: Value) {
        let url = format!("{}/_sim/faults", self.app.simulator);
        let set = avalon_tests::client()
            .put(url)
            .json(&fault)
            .send()
            .await
            .unwrap();
        assert!(set.status().is_success(), "{set:?}");
    }

    pub(super) async fn operator(
        &self,
        path: &str,
        key: &str,
        amount: i64,
    ) -> avalon_tests::ApiResponse {
        let request = self
            .app
            .admin(Method::POST, path)
            .header("idempotency-key", key);
        self.app
            .send(request.json(&json!({"amount": amount, "reason": "test"})))
            .await
    }
}

#[tokio::test]
async fn pack_is_paid_when_wechat_has_credited_it() {
    let shop = Shop::open().await;
    let (id, params) = shop.offered("k", "pack", 1).await;
    assert_eq!(params["mode"], "coins");
    shop.sheet(&params, json!({})).await;
    shop.until(&id, "paid").await;
    assert_eq!(shop.coins().await, 60);
    assert_eq!(shop.get("/api/wx/inventory").await["items"], json!([]));
}

#[tokio::test]
async fn spend_grants_once_and_is_repeatable() {
    let shop = Shop::open().await;
    shop.give_coins(100).await;
    let first = shop.spend("k").await;
    assert_eq!(first.status, 200, "{first:?}");
    assert!(first.body.get("payParams").is_none());
    let again = shop.spend("k").await;
    assert_eq!(again.body["orderId"], first.body["orderId"]);
    assert_eq!((shop.owned().await, shop.coins().await), (1, 40));
    let order = shop.order_of(first.body["orderId"].as_str().unwrap()).await;
    assert_eq!(
        (&order["payWith"], &order["coins"]),
        (&json!("coins"), &json!(60))
    );
    assert_eq!(order["totalFee"], 0);
    let short = shop.spend("k2").await;
    short.assert_problem(409, "NOT_ENOUGH_COINS");
    let short = shop.spend("k2").await;
    short.assert_problem(409, "NOT_ENOUGH_COINS");
    assert_eq!((shop.owned().await, shop.coins().await), (1, 40));
}

#[tokio::test]
async fn returned_coins_take_the_items_back_only_as_a_whole() {
    let shop = Shop::open().await;
    shop.give_coins(60).await;
    let spent = shop.spend("k").await;
    let id = spent.body["orderId"].as_str().unwrap();
    let path = format!("/admin/orders/{id}/returnCoins");
    for _ in 0..2 {
        assert_eq!(shop.operator(&path, "part", 20).await.status, 202);
    }
    assert_eq!((shop.owned().await, shop.coins().await), (1, 20));
    assert_eq!(shop.order_of(id).await["status"], "paid");
    shop.operator(&path, "too-much", 41)
        .await
        .assert_problem(409, "REFUND_TOO_LARGE");
    shop.fault(json!({"outage": "reset", "outageAfter": true, "api": "vpay_cancel_spend"}))
        .await;
    assert_eq!(shop.operator(&path, "rest", 40).await.status, 202);
    shop.fault(json!({})).await;
    shop.sweep_until(id, "refunded").await;
    assert_eq!((shop.owned().await, shop.coins().await), (0, 60));
}

#[tokio::test]
async fn presents_are_granted_once_per_key() {
    let shop = Shop::open().await;
    let path = format!("/admin/users/{}/coins", shop.open_id);
    for _ in 0..2 {
        assert_eq!(shop.operator(&path, "p", 7).await.status, 202);
    }
    assert_eq!(shop.coins().await, 7);
    shop.operator(&path, "p", 8)
        .await
        .assert_problem(422, "IDEMPOTENCY_KEY_REUSED");
    let ledger = shop.app.send(shop.app.admin(Method::GET, &path)).await.body;
    assert_eq!(ledger["changes"][0]["state"], "done", "{ledger}");
}
