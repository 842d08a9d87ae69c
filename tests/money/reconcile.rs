//! The daily reconciliation with WeChat's bill: payments that were never reported to us are found and
//! granted, and every difference is recorded.

use avalon_core::base::fen::Fen;
use avalon_core::base::ids::OrderId;
use avalon_core::jobs::Reconcile;
use avalon_core::payments::reconciliation::{self, beijing_day};
use avalon_core::payments::statement::{Account, Statement, StatementRow};
use avalon_core::payments::{Channel, OrderStatus, inventory, order_rows};
use avalon_queue::{Handlers, JobState, NewJob};
use avalon_test_support::TestDatabase;
use jiff::Timestamp;
use reqwest::Method;
use serde_json::json;

use crate::shop::{Player, Shop};

/// Creates two orders that are closed here but paid at WeChat; only the bill shows it.
async fn unreported_payments(shop: &Shop, handlers: &Handlers, player: Player) -> [OrderId; 2] {
    let gems = shop.product(100, None, None).await;
    let bills = json!({"billsAtOnce": true});
    shop.wechat.must(Method::PUT, "pay/settings", bills).await;
    let mut orders = Vec::new();
    for key in ["k1", "k2"] {
        let order = shop.order(handlers, player, &gems, key).await;
        let pay = format!("pay/orders/{order}/pay");
        let silently = json!({"notify": false});
        shop.wechat.must(Method::POST, &pay, silently).await;
        sqlx::query(
            "UPDATE orders SET status = 'closed', holds_stock = 0, next_check_at = NULL
             WHERE id = $1",
        )
        .bind(order)
        .execute(shop.database.pool())
        .await
        .unwrap();
        orders.push(order);
    }
    shop.flush_queue().await;
    orders.try_into().unwrap()
}

/// Marks an order as paid here without a payment at WeChat.
async fn mark_paid(shop: &Shop, order: OrderId) {
    sqlx::query(
        "UPDATE orders SET status = 'paid', paid_at = $1, transaction_id = 'x' WHERE id = $2",
    )
    .bind(Timestamp::now().as_millisecond())
    .bind(order)
    .execute(shop.database.pool())
    .await
    .unwrap();
}

async fn status(shop: &Shop, order: OrderId) -> OrderStatus {
    let order = order_rows::by_id(&shop.database, order).await.unwrap();
    order.unwrap().status
}

#[tokio::test]
async fn unreported_payment_is_found_in_the_bill_and_granted() {
    let shop = Shop::open(TestDatabase::sqlite()).await;
    let (handlers, player) = (shop.handlers(false), shop.player().await);
    let gems = shop.product(100, None, None).await;
    let bills = json!({"billsAtOnce": true});
    shop.wechat.must(Method::PUT, "pay/settings", bills).await;
    let paid = shop.order(&handlers, player, &gems, "k1").await;
    let unpaid = shop.order(&handlers, player, &gems, "k2").await;
    let pay = format!("pay/orders/{paid}/pay");
    let silently = json!({"notify": false});
    shop.wechat.must(Method::POST, &pay, silently).await;
    // And one that is paid here but not at WeChat.
    mark_paid(&shop, unpaid).await;

    let day = beijing_day(Timestamp::now());
    let job = NewJob::from_job(&Reconcile { day, again: false });
    let view = shop.run_job(&handlers, job).await;
    assert_eq!(view.state, JobState::Succeeded, "{view:?}");
    assert_eq!(view.result.unwrap().get(), "2");
    let stored = reconciliation::list(&shop.database).await.unwrap();
    let today = &stored[0];
    assert_eq!(today.day, day.to_string());
    assert_eq!(today.rows_compared, 1);
    let mut found: Vec<_> = today
        .differences
        .iter()
        .map(|d| (d.order_id.clone(), d.kind.to_string()))
        .collect();
    let mut expected = vec![
        (paid.to_string(), "unpaid_here".to_owned()),
        (unpaid.to_string(), "missing_there".to_owned()),
    ];
    found.sort();
    expected.sort();
    assert_eq!(found, expected);

    let order = order_rows::by_id(&shop.database, paid)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(order.status, OrderStatus::Paid);
    let items = inventory::items(&shop.database, player.0).await.unwrap();
    assert_eq!(items[0].quantity, 1);
    assert!(reconciliation::is_done(&shop.database, day).await.unwrap());
}

#[tokio::test]
async fn day_is_done_only_when_every_payment_is_handled() {
    let shop = Shop::open(TestDatabase::sqlite()).await;
    let (handlers, player) = (shop.handlers(false), shop.player().await);
    let orders = unreported_payments(&shop, &handlers, player).await;
    let day = beijing_day(Timestamp::now());
    let reconcile = || NewJob::from_job(&Reconcile { day, again: false });

    let outage = json!({"outage": "http502", "api": "pay_query"});
    shop.wechat.faults(outage).await;
    let view = shop.run_job(&handlers, reconcile()).await;
    assert_eq!(view.state, JobState::Retrying, "{view:?}");
    assert!(!reconciliation::is_done(&shop.database, day).await.unwrap());

    // The job is lost; the scheduler enqueues it again.
    shop.flush_queue().await;
    shop.wechat.faults(json!({})).await;
    let view = shop.run_job(&handlers, reconcile()).await;
    assert_eq!(view.state, JobState::Succeeded, "{view:?}");
    for order in orders {
        assert_eq!(status(&shop, order).await, OrderStatus::Paid);
    }
    assert!(reconciliation::is_done(&shop.database, day).await.unwrap());
}

#[tokio::test]
async fn unprocessable_payment_does_not_block_the_others() {
    let shop = Shop::open(TestDatabase::sqlite()).await;
    shop.app.allow_dead("reconcile");
    let (handlers, player) = (shop.handlers(false), shop.player().await);
    let [first, second] = unreported_payments(&shop, &handlers, player).await;
    // The first payment's transaction id belongs to another order.
    let gems = shop.product(100, None, None).await;
    let other = shop.order(&handlers, player, &gems, "k3").await;
    let theirs = shop.wechat.list("orders", "orders").await;
    let theirs = theirs
        .iter()
        .find(|order| order["outTradeNo"] == first.to_string());
    sqlx::query("UPDATE orders SET transaction_id = $1 WHERE id = $2")
        .bind(theirs.unwrap()["transactionId"].as_str())
        .bind(other)
        .execute(shop.database.pool())
        .await
        .unwrap();

    let day = beijing_day(Timestamp::now());
    let job = NewJob::from_job(&Reconcile { day, again: false });
    let view = shop.run_job(&handlers, job).await;
    assert_eq!(view.state, JobState::Dead, "{view:?}");
    assert_eq!(status(&shop, first).await, OrderStatus::Closed);
    assert_eq!(status(&shop, second).await, OrderStatus::Paid);
    assert!(!reconciliation::is_done(&shop.database, day).await.unwrap());
}

#[tokio::test]
async fn missing_bill_is_not_trusted_for_a_day_with_payments() {
    let shop = Shop::open(TestDatabase::sqlite()).await;
    shop.app.expect_leftover("reconcile");
    let (handlers, player) = (shop.handlers(false), shop.player().await);
    let gems = shop.product(100, None, None).await;
    let bills = json!({"billsAtOnce": true});
    shop.wechat.must(Method::PUT, "pay/settings", bills).await;
    let order = shop.order(&handlers, player, &gems, "k").await;
    mark_paid(&shop, order).await;
    let day = beijing_day(Timestamp::now());
    let job = NewJob::from_job(&Reconcile { day, again: false });
    let view = shop.run_job(&handlers, job).await;
    assert_eq!(view.state, JobState::Retrying, "{view:?}");
    assert!(!reconciliation::is_done(&shop.database, day).await.unwrap());

    // A reconciliation requested by an operator records the difference.
    let job = NewJob::from_job(&Reconcile { day, again: true });
    let view = shop.run_job(&handlers, job).await;
    assert_eq!(view.state, JobState::Succeeded, "{view:?}");
    let stored = reconciliation::list(&shop.database).await.unwrap();
    assert_eq!(stored[0].differences[0].kind.to_string(), "missing_there");
}

#[tokio::test]
async fn other_apps_are_skipped_and_other_merchants_reported_once() {
    let shop = Shop::open(TestDatabase::sqlite()).await;
    let row = |number: &str, merchant: &str, app: &str| StatementRow {
        merchant_id: merchant.to_owned(),
        app_id: app.to_owned(),
        transaction_id: format!("42{number}"),
        order_number: number.to_owned(),
        order_amount: Fen::new(1).unwrap(),
        refund_number: None,
        refund_amount: Fen::ZERO,
    };
    let statement = Statement {
        account: Account {
            channel: Channel::WechatPay,
            merchant_id: "1",
            app_id: "wx1",
        },
        rows: vec![
            row("ours", "1", "wx1"),
            row("other-app", "1", "wx2"),
            row("other-merchant-1", "2", "wx1"),
            row("other-merchant-2", "2", "wx1"),
        ],
    };
    let (day, now) = (beijing_day(Timestamp::now()), Timestamp::now());
    let found = reconciliation::compare(&shop.database, day, &[statement], now).await;
    let found: Vec<_> = found
        .unwrap()
        .differences
        .into_iter()
        .map(|difference| (difference.kind.to_string(), difference.order_id))
        .collect();
    let expected = [
        ("other_merchant", "other-merchant-1"),
        ("missing_here", "ours"),
    ];
    let expected = expected.map(|(kind, order)| (kind.to_owned(), order.to_owned()));
    assert_eq!(found, expected);
}
