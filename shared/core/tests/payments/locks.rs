//! Which rows the changes of orders wait for.

use std::time::Duration;

use avalon_core::base::ids::ProductId;
use avalon_core::payments::orders::{self, PayBack};
use avalon_core::payments::products::{self, Product};
use avalon_core::payments::{Cause, OrderStatus, RefundStatus};
use avalon_core::storage::database::Database;
use avalon_test_support::TestDatabase;
use jiff::Timestamp;
use sqlx::{Any, Transaction};

use crate::shop::{Shop, database};

/// Longer than any of these transactions takes by itself.
const SOON: Duration = Duration::from_secs(5);
/// The product without stock.
const PLENTY: usize = 1;

/// Locks a product's row, also against the check of a foreign key.
async fn locked(database: &Database, product: &ProductId) -> Transaction<'static, Any> {
    let mut transaction = database.begin().await.unwrap();
    sqlx::query("SELECT CAST(1 AS BIGINT) FROM products WHERE id = $1 FOR UPDATE")
        .bind(product)
        .execute(&mut *transaction)
        .await
        .unwrap();
    transaction
}

#[tokio::test]
async fn orders_without_stock_never_wait_for_the_product() {
    let file = TestDatabase::postgres().await;
    let opened = database(file.url()).await;
    let mut shop = Shop::open(&opened).await;
    let product = shop.products[PLENTY].clone();
    for limit_per_user in [None, Some(100)] {
        let listed = products::list(&opened, true).await.unwrap();
        let found = listed.into_iter().find(|p| p.product_id == product);
        let limited = Product {
            limit_per_user,
            ..found.unwrap()
        };
        products::put(&opened, &limited).await.unwrap();
        let row = locked(&opened, &product).await;
        let key = if limit_per_user.is_some() { 10 } else { 0 };
        let now = Timestamp::now();
        let done = tokio::time::timeout(SOON, async {
            let order = shop.paid(key, PLENTY, 1).await;
            let refund = shop.refund(&order, "r").await.unwrap();
            shop.report(&refund, RefundStatus::Succeeded, true).await;
            // Closed, and paid nevertheless.
            let new = shop.new_order(key + 1, PLENTY, 1);
            let order = shop.create(&new, now).await.unwrap();
            let (to, cause) = (OrderStatus::Closed, Cause::Expired);
            orders::end_unpaid(&opened, order.id, to, cause, None, now)
                .await
                .unwrap();
            shop.pay(&order, PayBack::Closed).await;
            // Refunded at the channel before it was known here.
            let new = shop.new_order(key + 2, PLENTY, 1);
            let order = shop.create(&new, now).await.unwrap();
            orders::refunded_elsewhere(&opened, order.id, Some(&format!("t{key}")), now)
                .await
                .unwrap();
        });
        done.await.expect("an order waits for its product's row");
        row.rollback().await.unwrap();
    }
}

#[tokio::test]
async fn refused_orders_never_wait_for_the_product() {
    let file = TestDatabase::postgres().await;
    let opened = database(file.url()).await;
    let shop = Shop::open(&opened).await;
    let product = shop.products[0].clone();
    let row = locked(&opened, &product).await;
    let more = shop.new_order(0, 0, crate::shop::STOCK + 1);
    let refused = tokio::time::timeout(SOON, shop.create(&more, Timestamp::now()));
    assert!(refused.await.expect("it waits for the row").is_err());
    row.rollback().await.unwrap();
}
