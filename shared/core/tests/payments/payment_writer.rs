//! Payments of many callbacks at once, on Postgres.

use avalon_core::base::fen::Fen;
use avalon_core::base::ids::OrderId;
use avalon_core::payments::fulfilments::Webhooks;
use avalon_core::payments::inbox::{CallbackKind, InboxWriter, Received, by_id};
use avalon_core::payments::order_rows::Order;
use avalon_core::payments::orders::{
    self, Paid, PayBack, Payment, PaymentWriter, ReportedPayment, create,
};
use avalon_core::payments::{CallbackOutcome, Cause, Channel};
use avalon_test_support::TestDatabase;
use futures_util::future::join_all;
use jiff::Timestamp;

use crate::shop::{Shop, database};

fn payment(order: &Order, transaction: &str) -> Payment {
    Payment {
        channel: Channel::WechatPay,
        transaction_id: Some(transaction.to_owned()),
        total: order.total_fee,
        currency: "CNY".to_owned(),
        at: Timestamp::now(),
    }
}

async fn orders(shop: &Shop, count: u8, quantity: i64) -> Vec<Order> {
    let create = async |key| {
        let new = shop.new_order(key, 1, quantity);
        create(&shop.database, &new, Timestamp::now())
            .await
            .unwrap()
    };
    let mut orders = Vec::new();
    for key in 0..count {
        orders.push(create(key).await);
    }
    orders
}

/// What a worker does with the payment of a callback.
async fn report(shop: &Shop, order: OrderId, payment: Payment) -> Paid {
    shop.report_payment(order, &payment, PayBack::Closed).await
}

#[tokio::test]
async fn concurrent_payments_are_granted_once_with_all_that_follows() {
    let test = TestDatabase::postgres().await;
    let shop = Shop::open(&database(test.url()).await).await;
    let orders = orders(&shop, 40, 2).await;
    // Every payment is reported three times.
    let reports = orders.iter().chain(&orders).chain(&orders);
    let paid = join_all(reports.map(|order| {
        let payment = payment(order, &format!("t-{}", order.id));
        report(&shop, order.id, payment)
    }));
    let now = |paid: &&Paid| matches!(paid, Paid::Now(..));
    assert_eq!(paid.await.iter().filter(now).count(), 40);
    assert_eq!(shop.owns(1).await, 80);
    let user = shop.user.to_string();
    for (what, sql) in [
        ("ledger", "SELECT count(*) FROM inventory_ledger WHERE user_id = $1 AND $2 = ''"),
        (
            "history",
            "SELECT count(*) FROM order_history JOIN orders ON orders.id = order_id
             WHERE user_id = $1 AND order_history.status = 'paid' AND cause = 'callback' AND $2 = ''",
        ),
        ("events", "SELECT count(*) FROM event_outbox WHERE user_id = $1 AND $2 = ''"),
        (
            "webhooks",
            "SELECT count(*) FROM fulfilments JOIN orders ON orders.id = order_id
             WHERE user_id = $1 AND type = 'order.paid' AND $2 = ''",
        ),
        // Each entry has the balance after it, whatever else the statement granted.
        (
            "balances",
            "SELECT count(*) FROM (SELECT balance_after, sum(delta) OVER (ORDER BY balance_after) AS total
             FROM inventory_ledger WHERE user_id = $1 AND $2 = '') AS entry WHERE balance_after = total",
        ),
    ] {
        assert_eq!(shop.number(sql, &user, "").await, 40, "{what}");
    }
}

#[tokio::test]
async fn payment_that_is_refused_fails_no_other() {
    let test = TestDatabase::postgres().await;
    let shop = Shop::open(&database(test.url()).await).await;
    let orders = orders(&shop, 12, 1).await;
    orders::end_unpaid(
        &shop.database,
        orders[0].id,
        avalon_core::payments::OrderStatus::Closed,
        Cause::Expired,
        None,
        Timestamp::now(),
    )
    .await
    .unwrap();
    let reports = orders.iter().enumerate().map(|(n, order)| {
        let mut payment = payment(order, &format!("t-{}", order.id));
        match n {
            1 => payment.total = Fen::new(99).unwrap(),
            2 => payment.currency = "USD".to_owned(),
            _ => {}
        }
        report(&shop, order.id, payment)
    });
    let unknown = payment(&orders[0], "t-unknown");
    let (paid, unknown) =
        futures_util::join!(join_all(reports), report(&shop, OrderId::new(), unknown));
    assert!(matches!(unknown, Paid::Unknown));
    for (n, paid) in paid.iter().enumerate() {
        match n {
            1 | 2 => assert!(matches!(paid, Paid::Mismatch(_)), "{n}: {paid:?}"),
            // The closed one too: a late payment is granted, as the configuration of the shop says.
            _ => assert!(matches!(paid, Paid::Now(..)), "{n}: {paid:?}"),
        }
    }
}

#[tokio::test]
async fn violated_key_leaves_the_others_of_its_group_to_be_recorded_alone() {
    let test = TestDatabase::postgres().await;
    let shop = Shop::open(&database(test.url()).await).await;
    let orders = orders(&shop, 10, 1).await;
    // Two orders with one transaction: whatever group has both violates a unique key.
    let reported = |order: &Order, transaction: String| ReportedPayment {
        order: order.id,
        payment: payment(order, &transaction),
        cause: Cause::Callback,
        callback: None,
    };
    let group = orders.iter().enumerate().map(|(n, order)| {
        let transaction = format!("t-{}", n.max(1));
        shop.writer.pay(reported(order, transaction))
    });
    let together = join_all(group).await;
    for (n, order) in orders.iter().enumerate().skip(2) {
        if together[n].is_none() {
            let paid = shop.pay(order, PayBack::Closed).await;
            assert!(matches!(paid, Paid::Now(..)), "{n}: {paid:?}");
        }
    }
    assert_eq!(
        shop.owns(1).await,
        8 + i64::from(together[..2].iter().any(Option::is_some))
    );
}

#[tokio::test]
async fn outcome_of_the_callback_is_recorded_with_its_payment() {
    let test = TestDatabase::postgres().await;
    let shop = Shop::open(&database(test.url()).await).await;
    let order = orders(&shop, 1, 1).await.remove(0);
    let inbox = InboxWriter::spawn(shop.database.clone());
    let body = vec![0, 255, b'"', b'\\', b'\n'];
    let received = Received {
        channel: Channel::WechatPay,
        kind: CallbackKind::Payment,
        headers: r#"{"timestamp":"1"}"#.to_owned(),
        body: body.clone(),
        verified: true,
    };
    let callback = inbox.store(received).await.unwrap();
    let entry = by_id(&shop.database, callback).await.unwrap().unwrap();
    assert_eq!((entry.received.body, entry.outcome), (body, None));
    let writer = PaymentWriter::spawn(&shop.database, Webhooks::Off);
    let reported = ReportedPayment {
        order: order.id,
        payment: payment(&order, "t-1"),
        cause: Cause::Callback,
        callback: Some(callback),
    };
    assert!(writer.pay(reported).await.is_some());
    let entry = by_id(&shop.database, callback).await.unwrap().unwrap();
    assert_eq!(entry.outcome, Some(CallbackOutcome::Granted));
    let webhooks = "SELECT count(*) FROM fulfilments WHERE order_id = $1 AND $2 = ''";
    assert_eq!(shop.number(webhooks, &order.id.to_string(), "").await, 0);
}
