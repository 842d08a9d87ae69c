//! Concurrent requests from many tasks.

use avalon_core::base::fen::Fen;
use avalon_core::payments::fulfilments::Webhooks;
use avalon_core::payments::orders::{self, Paid, PayBack, Payment};
use avalon_core::payments::products;
use avalon_core::payments::{Cause, Channel, OrderStatus, PaymentError};
use avalon_test_support::TestDatabase;
use jiff::Timestamp;

use crate::shop::{STOCK, Shop};

/// Concurrent requests from many tasks.
async fn rules_hold_concurrently(database: TestDatabase) {
    let opened = crate::shop::database(database.url()).await;
    let shop = std::sync::Arc::new(Shop::open(&opened).await);
    let now = Timestamp::now();
    // Twenty orders of one piece, each requested three times, for a stock of eight.
    let asked = (0..60u8).map(|n| {
        let shop = std::sync::Arc::clone(&shop);
        tokio::spawn(async move {
            let order = shop.create(&shop.new_order(n % 20, 0, 1), now).await;
            order.map(|order| order.id).ok()
        })
    });
    let mut ids = Vec::new();
    for asked in asked.collect::<Vec<_>>() {
        ids.extend(asked.await.unwrap());
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 8, "one order per piece in stock");
    // Each is paid five times and ended three times, concurrently.
    let mut tasks = Vec::new();
    for id in &ids {
        for n in 0..8 {
            let (id, database) = (*id, opened.clone());
            tasks.push(tokio::spawn(async move {
                if n < 5 {
                    let payment = Payment {
                        channel: Channel::WechatPay,
                        transaction_id: Some(format!("t-{id}")),
                        total: Fen::new(100).unwrap(),
                        currency: "CNY".to_owned(),
                        at: now,
                    };
                    let paid = orders::pay(
                        &database,
                        id,
                        &payment,
                        Cause::Callback,
                        PayBack::Never,
                        Webhooks::Stored,
                        now,
                    )
                    .await
                    .unwrap();
                    matches!(paid, Paid::Now(..))
                } else {
                    let to = OrderStatus::Closed;
                    orders::end_unpaid(&database, id, to, Cause::Expired, None, now)
                        .await
                        .unwrap();
                    false
                }
            }));
        }
    }
    let mut paid = 0;
    for task in tasks {
        paid += usize::from(task.await.unwrap());
    }
    assert_eq!(paid, 8, "each once");
    let shop = Shop {
        order_writer: shop.order_writer.clone(),
        writer: shop.writer.clone(),
        database: opened.clone(),
        user: shop.user,
        products: shop.products.clone(),
        orders: ids,
        refunds: vec![],
    };
    shop.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_orders_fit_the_stock_and_are_paid_once() {
    for database in TestDatabase::both().await {
        rules_hold_concurrently(database).await;
    }
}

#[tokio::test]
async fn stale_stock_is_not_written_over_new_orders() {
    for database in TestDatabase::both().await {
        let opened = crate::shop::database(database.url()).await;
        let shop = Shop::open(&opened).await;
        let now = Timestamp::now();
        let read = products::list(&opened, true).await.unwrap();
        let mut product = read
            .into_iter()
            .find(|product| product.product_id == shop.products[0])
            .unwrap();
        orders::create(&opened, &shop.new_order(0, 0, 1), now)
            .await
            .unwrap();
        product.stock = Some(STOCK + 10);
        let stale = products::put_expecting(&opened, &product, STOCK).await;
        assert!(
            matches!(stale, Err(PaymentError::StockChanged)),
            "{stale:?}"
        );
        product.stock = Some(STOCK + 9);
        let fresh = products::put_expecting(&opened, &product, STOCK - 1).await;
        assert_eq!(fresh.unwrap().stock, Some(STOCK + 9));
    }
}
