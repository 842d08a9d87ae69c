//! Cancellations that race with payments, their callbacks, and the use of what was bought.

use std::time::Duration;

use avalon_core::base::ids::{OrderId, ProductId};
use avalon_core::jobs::CancelOrder;
use avalon_core::payments::order_rows;
use avalon_core::payments::{OrderStatus, PaymentError, inventory};
use avalon_queue::{Handlers, JobState, NewJob};
use avalon_test_support::TestDatabase;
use jiff::Timestamp;
use reqwest::Method;
use serde_json::json;

use crate::shop::{Player, Shop};

struct Fixture {
    shop: Shop,
    handlers: Handlers,
    player: Player,
}

impl Fixture {
    async fn over(database: TestDatabase) -> Self {
        let shop = Shop::open(database).await;
        shop.wechat.reset().await;
        Self {
            handlers: shop.handlers(true),
            player: shop.player().await,
            shop,
        }
    }

    async fn order(&self, product: &ProductId, key: &str) -> OrderId {
        self.shop
            .order(&self.handlers, self.player, product, key)
            .await
    }

    async fn pay(&self, order: OrderId) {
        let path = format!("pay/orders/{order}/pay");
        self.shop.wechat.may(&path, json!({"notify": true})).await;
    }

    async fn release(&self) {
        let path = "pay/callbacks/release";
        self.shop.wechat.must(Method::POST, path, json!({})).await;
    }

    fn cancel(&self, order_id: OrderId) -> NewJob {
        let user_id = self.player.0;
        NewJob::from_job(&CancelOrder { order_id, user_id })
    }

    async fn status(&self, order: OrderId) -> OrderStatus {
        let order = order_rows::by_id(&self.shop.database, order).await.unwrap();
        order.unwrap().status
    }

    /// Tries to use the item until it succeeds or `tries` are over; returns whether it did.
    async fn use_item(&self, product: &ProductId, key: &str, tries: usize) -> bool {
        for _ in 0..tries {
            let (database, user, now) = (&self.shop.database, self.player.0, Timestamp::now());
            match inventory::consume(database, user, product, 1, key, now).await {
                Ok(_) => return true,
                Err(PaymentError::NotEnough) => {}
                Err(error) => panic!("{error}"),
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        false
    }
}

/// The attack: cancel, pay and consume at the same time, with and without the callback.
async fn never_items_and_money(database: TestDatabase) {
    let fixture = Fixture::over(database).await;
    let slow = json!({"latencyMs": 20, "api": "pay_close"});
    fixture.shop.wechat.faults(slow).await;
    let (mut paid_back, mut used_up) = (0, 0);
    for n in 0..24_u64 {
        let key = n.to_string();
        let product = fixture.shop.product(100, None, None).await;
        let order = fixture.order(&product, &key).await;
        let cancel = fixture.cancel(order);
        let pay = async {
            tokio::time::sleep(Duration::from_millis(n % 24)).await;
            fixture.pay(order).await;
            if n % 2 == 0 {
                fixture.release().await;
                fixture.shop.process_callbacks(&fixture.handlers).await;
            }
        };
        let (_, (), used) = tokio::join!(
            fixture.shop.run_job(&fixture.handlers, cancel),
            pay,
            fixture.use_item(&product, &key, 60),
        );
        let status = fixture.status(order).await;
        let refunding = matches!(status, OrderStatus::Refunding | OrderStatus::Refunded);
        assert!(
            !(refunding && used),
            "run {n}: {status}, and the item was used"
        );
        paid_back += usize::from(refunding);
        used_up += usize::from(used);
        fixture.release().await;
        fixture.shop.process_callbacks(&fixture.handlers).await;
        fixture.shop.flush_queue().await;
    }
    eprintln!("{paid_back} payments were refunded, {used_up} items used");
    assert!(paid_back > 0, "no payment met its cancellation");
}

#[tokio::test]
async fn cancel_pay_and_consume_at_once_never_pays_back_on_sqlite() {
    never_items_and_money(TestDatabase::sqlite()).await;
}

#[tokio::test]
async fn cancel_pay_and_consume_at_once_never_pays_back_on_postgres() {
    never_items_and_money(TestDatabase::postgres().await).await;
}

#[tokio::test]
async fn cancellation_of_an_order_whose_item_was_used_is_refused() {
    let fixture = Fixture::over(TestDatabase::sqlite()).await;
    let product = fixture.shop.product(100, None, None).await;
    let order = fixture.order(&product, "k").await;
    // The cancellation is decided while the order is unpaid.
    let cancel = fixture.cancel(order);
    fixture.pay(order).await;
    fixture.release().await;
    fixture.shop.process_callbacks(&fixture.handlers).await;
    assert!(fixture.use_item(&product, "used", 1).await);
    let view = fixture.shop.run_job(&fixture.handlers, cancel).await;
    assert_eq!(view.state, JobState::Rejected, "{view:?}");
    assert_eq!(view.error.unwrap().code, "ORDER_STATE");
    assert_eq!(fixture.status(order).await, OrderStatus::Paid);
    assert_eq!(
        fixture.shop.wechat.list("refunds", "refunds").await.len(),
        0
    );
}

#[tokio::test]
async fn rejected_create_order_names_its_order() {
    let fixture = Fixture::over(TestDatabase::sqlite()).await;
    let product = fixture.shop.product(100, None, None).await;
    let order = fixture.order(&product, "k").await;
    fixture.pay(order).await;
    fixture.release().await;
    fixture.shop.process_callbacks(&fixture.handlers).await;
    fixture.shop.flush_queue().await;
    let again = NewJob::from_job(&fixture.player.order(&product, 1, "k"));
    let view = fixture.shop.run_job(&fixture.handlers, again).await;
    assert_eq!(view.state, JobState::Rejected, "{view:?}");
    let error = view.error.unwrap();
    assert_eq!(error.code, "ORDER_STATE");
    let problem = serde_json::to_value(avalon_core::jobs::problem(&error)).unwrap();
    assert_eq!(problem["orderId"], order.to_string());

    // WeChat fails for an order that exists here: the client can follow it.
    let down = json!({"outage": "http502", "api": "pay_jsapi"});
    fixture.shop.wechat.faults(down).await;
    let create = NewJob::from_job(&fixture.player.order(&product, 1, "busy"));
    fixture.shop.app.expect_leftover("create_order");
    let view = fixture.shop.run_job(&fixture.handlers, create).await;
    let error = view.error.unwrap();
    assert_eq!(error.code, "PAY_BUSY");
    assert!(error.about.is_some(), "{error:?}");
}
