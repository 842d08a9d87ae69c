//! Which callbacks the endpoint accepts: the cap on unverified ones and the APIv3 key rotation.

use std::time::Duration;

use avalon_core::base::ids::OrderId;
use avalon_core::payments::inbox::MAX_UNVERIFIED;
use avalon_core::payments::{OrderStatus, order_rows};
use avalon_simulator::PayCredentials;
use avalon_test_support::TestDatabase;
use reqwest::Method;
use serde_json::{Value, json};

use crate::shop::Shop;

/// Lets the simulator forge a callback and returns the HTTP status that the endpoint responded with.
pub(crate) async fn forge(shop: &Shop, order: OrderId, kind: &str) -> Value {
    let body = json!({"outTradeNo": order, "kind": kind});
    shop.wechat
        .must(Method::POST, "pay/callbacks/forge", body)
        .await;
    let path = format!("callbacks?outTradeNo={order}");
    let callbacks = shop.wechat.list(&path, "callbacks").await;
    let attempts = &callbacks.last().unwrap()["attempts"];
    attempts.as_array().unwrap().last().unwrap()["status"].clone()
}

#[tokio::test]
async fn unknown_serials_are_capped_and_valid_callbacks_accepted() {
    for file in TestDatabase::both().await {
        let shop = Shop::open(file).await;
        shop.app.expect_leftover("callback");
        let (handlers, player) = (shop.handlers(false), shop.player().await);
        let gems = shop.product(100, None, None).await;
        let order = shop.order(&handlers, player, &gems, "k").await;
        sqlx::query(
            "INSERT INTO inbox (id, channel, kind, headers, body, received_at, verified)
             WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < $1)
             SELECT CAST(n AS TEXT), 'wechat_pay', 'payment', '{}', $2, 0, 0 FROM n",
        )
        .bind(MAX_UNVERIFIED - 1)
        .bind(b"{}".to_vec())
        .execute(shop.database.pool())
        .await
        .unwrap();
        assert_eq!(forge(&shop, order, "unknownSerial").await, 204);
        assert_eq!(forge(&shop, order, "unknownSerial").await, 503);
        assert_eq!(forge(&shop, order, "coupon").await, 204);

        // Processed callbacks free capacity.
        sqlx::query("UPDATE inbox SET outcome = 'unknown_serial', processed_at = 0")
            .execute(shop.database.pool())
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_millis(1100)).await;
        assert_eq!(forge(&shop, order, "unknownSerial").await, 204);
    }
}

#[tokio::test]
async fn both_apiv3_keys_are_accepted_during_rotation() {
    // The simulator encrypts `apiV3Key` forgeries with this one.
    let new = ("PAY__API_V3_KEY", "another-merchants-api-v3-key-32!");
    let old = ("PAY__PREVIOUS_API_V3_KEY", PayCredentials::TEST.api_v3_key);
    for (more, after) in [
        (&[new, old][..], OrderStatus::Paid),
        (&[][..], OrderStatus::Pending),
    ] {
        let shop = Shop::open_with(TestDatabase::sqlite(), more).await;
        let (handlers, player) = (shop.handlers(false), shop.player().await);
        let gems = shop.product(100, None, None).await;
        let under_old = shop.order(&handlers, player, &gems, "k1").await;
        let under_new = shop.order(&handlers, player, &gems, "k2").await;
        assert_eq!(forge(&shop, under_old, "coupon").await, 204);
        assert_eq!(forge(&shop, under_new, "apiV3Key").await, 204);
        shop.process_callbacks(&handlers).await;
        for (id, status) in [(under_old, OrderStatus::Paid), (under_new, after)] {
            let order = order_rows::by_id(&shop.database, id).await.unwrap();
            assert_eq!(order.unwrap().status, status);
        }
    }
}
