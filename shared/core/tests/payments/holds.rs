//! Bounds on unpaid orders, also under concurrent requests.

use std::time::Duration;

use avalon_core::payments::orders::{self, HoldRules};
use avalon_core::payments::products::{self, Product};
use avalon_core::payments::{Cause, OrderStatus, PaymentError};
use avalon_test_support::TestDatabase;
use futures_util::future::join_all;
use jiff::Timestamp;

use crate::shop::{STOCK, Shop, UNBOUNDED, database};

/// The scarce product.
const SCARCE: usize = 0;
/// The unlimited one.
const PLENTY: usize = 1;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_requests_stay_within_the_pending_orders() {
    for file in TestDatabase::both().await {
        let opened = database(file.url()).await;
        let shop = Shop::open(&opened).await;
        let bounded = HoldRules {
            max_pending_orders: 5,
            ..UNBOUNDED
        };
        let now = Timestamp::now();
        // Each twice: a repeat is no second order.
        let create = async |key: u8| {
            let mut new = shop.new_order(key, PLENTY, 1);
            new.holds = bounded;
            shop.create(&new, now).await
        };
        let results = join_all((0..40).map(|n| create(n % 20))).await;
        let mut created = Vec::new();
        for result in results {
            match result {
                Ok(order) => created.push(order.id),
                Err(PaymentError::TooManyPending(5)) => {}
                Err(error) => panic!("{error}"),
            }
        }
        created.sort();
        created.dedup();
        assert_eq!(created.len(), 5, "{}", file.engine());

        // An order that has ended makes room for another.
        let (to, cause) = (OrderStatus::Closed, Cause::Cancelled);
        orders::end_unpaid(&opened, created[0], to, cause, None, now)
            .await
            .unwrap();
        create(30).await.unwrap();
        assert!(matches!(
            create(31).await,
            Err(PaymentError::TooManyPending(5))
        ));
    }
}

#[tokio::test]
async fn one_player_cannot_hold_all_stock_unpaid() {
    for file in TestDatabase::both().await {
        let opened = database(file.url()).await;
        let shop = Shop::open(&opened).await;
        let now = Timestamp::now();
        let create = async |key: u8, product: usize, quantity: i64| {
            let mut new = shop.new_order(key, product, quantity);
            new.holds = HoldRules {
                max_pending_stock_percent: 50,
                scarce_stock: STOCK,
                scarce_ttl: Duration::from_secs(300),
                ..UNBOUNDED
            };
            shop.create(&new, now).await
        };
        let first = create(0, SCARCE, STOCK / 2).await.unwrap();
        let refused = create(1, SCARCE, 1).await;
        assert!(
            matches!(refused, Err(PaymentError::TooManyHeld(4))),
            "{refused:?}"
        );
        let seconds = |time: Timestamp| (time.as_millisecond() - now.as_millisecond()) / 1000;
        assert_eq!(seconds(first.expires_at), 300);
        let plenty = create(2, PLENTY, 1000).await.unwrap();
        assert_eq!(seconds(plenty.expires_at), 1800);
        let left = products::list(&opened, true).await.unwrap();
        let left: Vec<Option<i64>> = left.iter().map(|product: &Product| product.stock).collect();
        assert!(left.contains(&Some(STOCK / 2)), "{left:?}");
    }
}
