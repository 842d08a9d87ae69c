//! When the items of refunds are revoked and granted again.

use avalon_core::payments::orders;
use avalon_core::payments::orders::{Paid, PayBack};
use avalon_core::payments::refunds::{self, NewRefund};
use avalon_core::payments::{OrderStatus, PaymentError, RefundStatus, order_rows};
use avalon_test_support::TestDatabase;
use jiff::Timestamp;

use crate::shop::{Shop, database};

const PLENTY: usize = 1;

async fn shops() -> Vec<(TestDatabase, Shop)> {
    let mut shops = Vec::new();
    for file in TestDatabase::both().await {
        let shop = Shop::open(&database(file.url()).await).await;
        shops.push((file, shop));
    }
    shops
}

#[tokio::test]
async fn operators_refund_takes_the_items_when_it_is_decided() {
    for (_file, mut shop) in shops().await {
        let order = shop.paid(0, PLENTY, 2).await;
        assert_eq!(shop.owns(PLENTY).await, 2);
        let refund = shop.refund(&order, "r").await.unwrap();
        assert_eq!(refund.revoked, Some(2));
        assert_eq!(shop.owns(PLENTY).await, 0);
        let processing = shop.report(&refund, RefundStatus::Processing, true).await;
        assert_eq!(processing.revoked, Some(2));

        // It fails: the items are the player's again.
        let closed = shop.report(&refund, RefundStatus::Closed, true).await;
        assert_eq!(closed.revoked, None);
        assert_eq!(shop.owns(PLENTY).await, 2);

        let again = shop.refund(&order, "s").await.unwrap();
        assert_eq!(shop.owns(PLENTY).await, 0);
        let done = shop.report(&again, RefundStatus::Succeeded, true).await;
        assert_eq!(done.revoked, Some(2));
        shop.check().await;
    }
}

#[tokio::test]
async fn reopened_refund_takes_the_items_again() {
    for (_file, mut shop) in shops().await {
        let order = shop.paid(0, PLENTY, 2).await;
        let refund = shop.refund(&order, "r").await.unwrap();
        shop.report(&refund, RefundStatus::Closed, false).await;
        assert_eq!(shop.owns(PLENTY).await, 2);
        let reopened = shop.report(&refund, RefundStatus::Processing, true).await;
        assert_eq!((reopened.revoked, shop.owns(PLENTY).await), (Some(2), 0));
        shop.report(&refund, RefundStatus::Closed, true).await;
        assert_eq!(shop.owns(PLENTY).await, 2);
        shop.check().await;
    }
}

#[tokio::test]
async fn items_of_a_failed_refund_pass_to_the_one_that_replaced_it() {
    for (_file, mut shop) in shops().await {
        let order = shop.paid(0, PLENTY, 1).await;
        let first = shop.refund(&order, "r").await.unwrap();
        shop.report(&first, RefundStatus::Closed, false).await;
        let second = shop.refund(&order, "s").await.unwrap();
        // The first one was executed after all. Only one of them can succeed.
        let reopened = shop.report(&first, RefundStatus::Succeeded, true).await;
        assert_eq!(reopened.status, RefundStatus::Succeeded);
        let closed = shop.report(&second, RefundStatus::Closed, true).await;
        assert_eq!(closed.status, RefundStatus::Closed);
        assert_eq!(shop.owns(PLENTY).await, 0, "never items and money");
        let refunds = refunds::of_order(&shop.database, order.id).await.unwrap();
        let revoked: Vec<Option<i64>> = refunds.iter().map(|refund| refund.revoked).collect();
        assert_eq!(revoked, [Some(1), None]);
        shop.check().await;
    }
}

#[tokio::test]
async fn payment_found_by_a_cancellation_leaves_no_items() {
    for (_file, mut shop) in shops().await {
        let new = shop.new_order(0, PLENTY, 2);
        let order = orders::create(&shop.database, &new, Timestamp::now())
            .await
            .unwrap();
        shop.orders.push(order.id);
        let Paid::Now(paid, Some(refund)) = shop.pay(&order, PayBack::Always).await else {
            panic!("no refund was decided");
        };
        assert_eq!(paid.status, OrderStatus::Refunding);
        assert_eq!((refund.revoked, shop.owns(PLENTY).await), (Some(2), 0));
        shop.check().await;
    }
}

#[tokio::test]
async fn automatic_refund_is_refused_once_items_are_used() {
    for (_file, mut shop) in shops().await {
        let order = shop.paid(0, PLENTY, 2).await;
        shop.consume(PLENTY, 1).await;
        let late = NewRefund::of_late_payment(order.id);
        let refused = refunds::request(&shop.database, &late, Timestamp::now()).await;
        assert!(
            matches!(refused, Err(PaymentError::StateForbids(OrderStatus::Paid))),
            "{refused:?}"
        );
        assert_eq!(shop.owns(PLENTY).await, 1);
        let order = order_rows::by_id(&shop.database, order.id).await.unwrap();
        assert_eq!(order.unwrap().status, OrderStatus::Paid);
        // An operator may decide otherwise: what was used stays used.
        let order = shop.order(0).await.unwrap();
        let refund = shop.refund(&order, "r").await.unwrap();
        assert_eq!(refund.revoked, Some(1));
        shop.check().await;
    }
}

#[tokio::test]
async fn no_clients_key_is_that_of_an_automatic_refund() {
    for (_file, mut shop) in shops().await {
        let late = NewRefund::of_late_payment(shop.paid(0, PLENTY, 1).await.id);
        let name = &late.idempotency_key;
        assert!(!name.bytes().all(|byte| byte.is_ascii_graphic()), "{name}");

        // The operator's key of this name, which earlier versions used too.
        let order = shop.paid(1, PLENTY, 2).await;
        let first = shop.refund(&order, "late-payment").await.unwrap();
        let repeated = shop.refund(&order, "late-payment").await.unwrap();
        assert_eq!(repeated.refund_id, first.refund_id);
        shop.report(&first, RefundStatus::Closed, true).await;
        let late = NewRefund::of_late_payment(order.id);
        let automatic = refunds::request(&shop.database, &late, Timestamp::now());
        let automatic = automatic.await.unwrap();
        assert_ne!(automatic.refund_id, first.refund_id);
        let found = shop.refund(&order, "late-payment").await.unwrap();
        assert_eq!(found.refund_id, first.refund_id);
        shop.check().await;
    }
}

#[tokio::test]
async fn automatic_refund_of_an_earlier_version_is_found() {
    for (_file, mut shop) in shops().await {
        let order = shop.paid(0, PLENTY, 1).await;
        let late = NewRefund::of_late_payment(order.id);
        let first = refunds::request(&shop.database, &late, Timestamp::now())
            .await
            .unwrap();
        sqlx::query("UPDATE refunds SET idempotency_key = 'late-payment' WHERE id = $1")
            .bind(first.refund_id)
            .execute(shop.database.pool())
            .await
            .unwrap();
        let again = refunds::request(&shop.database, &late, Timestamp::now())
            .await
            .unwrap();
        assert_eq!(again.refund_id, first.refund_id);
    }
}
