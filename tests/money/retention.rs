//! Which rows the retention job deletes, and which it leaves.

use std::time::Duration;

use avalon_core::base::ids::OrderId;
use avalon_core::payments::order_rows;
use avalon_queue::{IdempotencyKey, Job, NewJob};
use avalon_test_support::TestDatabase;
use avalon_workers::Retention;
use reqwest::Method;
use serde_json::json;

use crate::shop::{RETENTION, Shop};

#[tokio::test]
async fn retention_keeps_open_callbacks_webhooks_and_the_books() {
    for file in TestDatabase::both().await {
        let shop = Shop::open(file).await;
        shop.app.expect_leftover("fulfil");
        let (handlers, player) = (shop.handlers(false), shop.player().await);
        let gems = shop.product(100, None, None).await;
        let mut orders = Vec::new();
        for key in ["k1", "k2", "k3"] {
            let order = shop.order(&handlers, player, &gems, key).await;
            let pay = format!("pay/orders/{order}/pay");
            // The last one's webhook is rejected.
            shop.game_server.refuse(key == "k3");
            shop.wechat.must(Method::POST, &pay, json!({})).await;
            orders.push(order);
            let inbox = "SELECT count(*) FROM inbox";
            while shop.count(inbox).await < i64::try_from(orders.len()).unwrap() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            shop.process_callbacks(&handlers).await;
        }
        // The first has expired, the second not quite; the third is old but undelivered.
        let ms = i64::try_from(RETENTION.as_millis()).unwrap();
        for (order, age) in orders.iter().zip([ms + 60_000, ms - 60_000, ms + 60_000]) {
            sqlx::query(
                "UPDATE fulfilments SET created_at = created_at - $1,
                                        delivered_at = delivered_at - $1
                 WHERE order_id = $2",
            )
            .bind(age)
            .bind(order)
            .execute(shop.database.pool())
            .await
            .unwrap();
        }
        sqlx::query("UPDATE inbox SET processed_at = processed_at - $1, outcome = 'granted'")
            .bind(ms + 60_000)
            .execute(shop.database.pool())
            .await
            .unwrap();
        sqlx::query(
            "UPDATE inbox SET processed_at = NULL, outcome = NULL
             WHERE id = (SELECT min(id) FROM inbox)",
        )
        .execute(shop.database.pool())
        .await
        .unwrap();

        let key = IdempotencyKey::new(Retention::KIND, Duration::from_millis(1));
        let job = NewJob::from_job(&Retention {}).once_per(key);
        let view = shop.run_job(&handlers, job).await;
        assert_eq!(view.result.unwrap().get(), "3");
        assert_eq!(shop.count("SELECT count(*) FROM inbox").await, 1);
        let remaining: Vec<OrderId> = sqlx::query_scalar("SELECT order_id FROM fulfilments")
            .fetch_all(shop.database.pool())
            .await
            .unwrap();
        assert_eq!(remaining.len(), 2, "{remaining:?}");
        assert!(!remaining.contains(&orders[0]));
        for order in &orders {
            let history = order_rows::history(&shop.database, *order).await.unwrap();
            assert_eq!(history.len(), 2);
        }
    }
}
