//! Refunds that are closed here while WeChat still executes them, and other contradictions between the
//! two sides.

use std::time::Duration;

use avalon_core::base::ids::{OrderId, RefundId};
use avalon_core::jobs::{Reconcile, SettleRefund};
use avalon_core::payments::order_rows::{self, Order};
use avalon_core::payments::reconciliation::{self, beijing_day};
use avalon_core::payments::refunds::{self, NewRefund, Refund};
use avalon_core::payments::{OrderStatus, RefundStatus, inventory, products};
use avalon_queue::{Handlers, JobState, NewJob};
use avalon_test_support::TestDatabase;
use avalon_wechat::pay::{Fen, OutRefundNo, OutTradeNo, RefundOf, RefundOrder};
use jiff::Timestamp;
use reqwest::Method;
use serde_json::json;

use crate::manual_worker::sweep;
use crate::shop::{Player, Shop};

struct Fixture {
    shop: Shop,
    handlers: Handlers,
    player: Player,
    order_id: OrderId,
}

impl Fixture {
    /// Creates a paid order whose items have been granted.
    async fn paid() -> Self {
        let shop = Shop::open(TestDatabase::sqlite()).await;
        shop.wechat.reset().await;
        let (handlers, player) = (shop.handlers(false), shop.player().await);
        let gems = shop.product(100, None, None).await;
        let order_id = shop.order(&handlers, player, &gems, "k").await;
        let pay = format!("pay/orders/{order_id}/pay");
        shop.wechat.must(Method::POST, &pay, json!({})).await;
        let fixture = Self {
            shop,
            handlers,
            player,
            order_id,
        };
        fixture.release().await;
        assert_eq!(fixture.order().await.status, OrderStatus::Paid);
        fixture
    }

    /// Releases WeChat's held callbacks and processes them.
    async fn release(&self) {
        let all = json!({});
        self.shop
            .wechat
            .must(Method::POST, "pay/callbacks/release", all)
            .await;
        self.shop.process_callbacks(&self.handlers).await;
    }

    async fn order(&self) -> Order {
        let order = order_rows::by_id(&self.shop.database, self.order_id).await;
        order.unwrap().unwrap()
    }

    async fn refund(&self, id: RefundId) -> Refund {
        let refund = refunds::by_id(&self.shop.database, id).await;
        refund.unwrap().unwrap()
    }

    async fn owns(&self) -> i64 {
        let items = inventory::items(&self.shop.database, self.player.0);
        items.await.unwrap().iter().map(|item| item.quantity).sum()
    }

    async fn request_refund(&self) -> Refund {
        let new = NewRefund {
            order_id: self.order_id,
            amount: None,
            quantity: None,
            reason: "test".to_owned(),
            idempotency_key: "r".to_owned(),
            request_digest: String::new(),
        };
        refunds::request(&self.shop.database, &new, Timestamp::now())
            .await
            .unwrap()
    }

    async fn settle(&self, refund: &Refund) -> avalon_queue::JobView {
        let settle = SettleRefund {
            refund_id: refund.refund_id,
            check: refund.checks,
            wait: Duration::ZERO,
        };
        let job = NewJob::from_job(&settle);
        self.shop.run_job(&self.handlers, job).await
    }

    /// Creates a refund that WeChat rejects and cannot find, so it is closed here. The delayed request
    /// then reaches WeChat and is executed.
    async fn overtaken_refund(&self) -> Refund {
        let refund = self.request_refund().await;
        // WeChat will reject this body as malformed.
        refunds::store_request(&self.shop.database, refund.refund_id, "{}")
            .await
            .unwrap();
        let view = self.settle(&refund).await;
        assert_eq!(view.state, JobState::Succeeded, "{view:?}");
        let closed = self.refund(refund.refund_id).await;
        assert_eq!(closed.status, RefundStatus::Closed);
        assert!(closed.is_closed_unconfirmed());
        assert_eq!(self.order().await.status, OrderStatus::Paid);

        let request = RefundOrder {
            of: RefundOf::Order(OutTradeNo::parse(self.order_id.to_string()).unwrap()),
            out_refund_no: OutRefundNo::parse(refund.refund_id.to_string()).unwrap(),
            refund: Fen::new(refund.amount.get()).unwrap(),
            total: Fen::new(100).unwrap(),
            reason: None,
        };
        let client = self.shop.client();
        let body = request.to_body(client.settings());
        client.submit_refund(&body).await.unwrap();
        refund
    }

    async fn finish(&self, refund: &Refund, status: &str) {
        let path = format!("pay/refunds/{}/finish", refund.refund_id);
        let end = json!({"status": status});
        self.shop.wechat.must(Method::POST, &path, end).await;
    }

    /// Asserts that the money was refunded and the items revoked.
    async fn assert_refunded(&self, refund: &Refund) {
        let refund = self.refund(refund.refund_id).await;
        assert_eq!(refund.status, RefundStatus::Succeeded);
        assert_eq!(refund.revoked, Some(1));
        let order = self.order().await;
        assert_eq!(
            (order.status, order.refunded_fee.get()),
            (OrderStatus::Refunded, 100)
        );
        assert_eq!(self.owns().await, 0);
    }
}

#[tokio::test]
async fn callback_reopens_a_refund_closed_here() {
    let fixture = Fixture::paid().await;
    let refund = fixture.overtaken_refund().await;
    fixture.finish(&refund, "SUCCESS").await;
    fixture.release().await;
    fixture.assert_refunded(&refund).await;
}

#[tokio::test]
async fn bill_reopens_a_refund_closed_here() {
    let fixture = Fixture::paid().await;
    let quiet = json!({"refundCallbacks": false, "billsAtOnce": true});
    fixture
        .shop
        .wechat
        .must(Method::PUT, "pay/settings", quiet)
        .await;
    let refund = fixture.overtaken_refund().await;
    let day = beijing_day(Timestamp::now());
    let reconcile = || NewJob::from_job(&Reconcile { day, again: false });

    // Compared, but the refund could not be queried: the day is not done.
    let outage = json!({"outage": "http502", "api": "pay_refund_query"});
    fixture.shop.wechat.faults(outage).await;
    let view = fixture.shop.run_job(&fixture.handlers, reconcile()).await;
    assert_eq!(view.state, JobState::Retrying, "{view:?}");
    let stored = reconciliation::list(&fixture.shop.database).await.unwrap();
    let found = &stored[0].differences[0];
    assert_eq!(
        (found.kind.to_string(), found.order_id.clone()),
        (
            "refund_closed_here".to_owned(),
            refund.refund_id.to_string()
        )
    );
    fixture.shop.flush_queue().await;
    fixture.shop.wechat.faults(json!({})).await;

    // The refund is open again and WeChat is queried until it ends.
    let view = fixture.shop.run_job(&fixture.handlers, reconcile()).await;
    assert_eq!(view.state, JobState::Succeeded, "{view:?}");
    let open = fixture.refund(refund.refund_id).await;
    assert_eq!(open.status, RefundStatus::Processing);
    assert_eq!(fixture.order().await.status, OrderStatus::Refunding);
    fixture.finish(&refund, "SUCCESS").await;
    fixture.shop.advance_time(Duration::from_secs(2400)).await;
    fixture.shop.run_job(&fixture.handlers, sweep()).await;
    fixture.assert_refunded(&refund).await;
    let done = reconciliation::is_done(&fixture.shop.database, day).await;
    assert!(done.unwrap());
}

#[tokio::test]
async fn refund_exceeding_the_payment_is_a_mismatch() {
    let fixture = Fixture::paid().await;
    let refund = fixture.overtaken_refund().await;
    // According to the books, another refund has returned everything meanwhile.
    sqlx::query("UPDATE orders SET status = 'refunded', refunded_fee = total_fee WHERE id = $1")
        .bind(fixture.order_id)
        .execute(fixture.shop.database.pool())
        .await
        .unwrap();
    fixture.finish(&refund, "SUCCESS").await;
    fixture.release().await;
    let mismatches = "SELECT count(*) FROM inbox WHERE outcome = 'mismatch'";
    assert_eq!(fixture.shop.count(mismatches).await, 1);
    assert_eq!(fixture.order().await.refunded_fee.get(), 100);
}

#[tokio::test]
async fn missing_refund_does_not_override_a_signed_response() {
    let fixture = Fixture::paid().await;
    fixture.shop.app.expect_leftover("refund");
    let refund = fixture.request_refund().await;
    fixture.settle(&refund).await;
    let submitted = fixture.refund(refund.refund_id).await;
    assert!(submitted.channel_refund_id.is_some(), "{submitted:?}");
    // WeChat no longer knows it and would reject it.
    fixture.shop.wechat.reset().await;
    sqlx::query("UPDATE refunds SET channel_request = '{}' WHERE id = $1")
        .bind(refund.refund_id)
        .execute(fixture.shop.database.pool())
        .await
        .unwrap();
    fixture.shop.flush_queue().await;
    let view = fixture.settle(&submitted).await;
    assert_eq!(view.state, JobState::Retrying, "{view:?}");
    let refund = fixture.refund(refund.refund_id).await;
    assert_eq!(refund.status, RefundStatus::Processing);
}

#[tokio::test]
async fn foreign_refund_callbacks_change_nothing() {
    let fixture = Fixture::paid().await;
    let refund = fixture.request_refund().await;
    fixture.settle(&refund).await;
    for (kind, outcome) in [
        ("mch", "other_merchant"),
        ("amount", "mismatch"),
        ("unknownOrder", "mismatch"),
    ] {
        let body = json!({
            "outTradeNo": fixture.order_id,
            "outRefundNo": refund.refund_id,
            "kind": kind,
        });
        fixture
            .shop
            .wechat
            .must(Method::POST, "pay/callbacks/forge", body)
            .await;
        fixture.shop.process_callbacks(&fixture.handlers).await;
        let last: String = sqlx::query_scalar("SELECT outcome FROM inbox ORDER BY id DESC LIMIT 1")
            .fetch_one(fixture.shop.database.pool())
            .await
            .unwrap();
        assert_eq!(last, outcome, "{kind}");
        let refund = fixture.refund(refund.refund_id).await;
        assert_eq!(refund.status, RefundStatus::Processing, "{kind}");
    }
}

#[tokio::test]
async fn order_refunded_before_its_callback_grants_nothing() {
    let shop = Shop::open(TestDatabase::sqlite()).await;
    shop.wechat.reset().await;
    let (handlers, player) = (shop.handlers(false), shop.player().await);
    let gems = shop.product(100, Some(1), None).await;
    let order_id = shop.order(&handlers, player, &gems, "k").await;
    let pay = format!("pay/orders/{order_id}/pay");
    shop.wechat.must(Method::POST, &pay, json!({})).await;
    // Its callback is still in flight when it is refunded in the merchant portal.
    let request = RefundOrder {
        of: RefundOf::Order(OutTradeNo::parse(order_id.to_string()).unwrap()),
        out_refund_no: OutRefundNo::parse("manual").unwrap(),
        refund: Fen::new(100).unwrap(),
        total: Fen::new(100).unwrap(),
        reason: None,
    };
    let body = request.to_body(shop.client().settings());
    shop.client().submit_refund(&body).await.unwrap();
    shop.advance_time(Duration::from_secs(360)).await;
    shop.run_job(&handlers, sweep()).await;
    let fixture = Fixture {
        shop,
        handlers,
        player,
        order_id,
    };
    let is_closed = async || {
        let order = fixture.order().await;
        assert_eq!(order.status, OrderStatus::Closed);
        assert_eq!(order.next_check_at, None);
        assert_eq!(fixture.owns().await, 0);
        let listed = products::list(&fixture.shop.database, true).await.unwrap();
        assert_eq!(listed[0].stock, Some(1));
    };
    is_closed().await;
    fixture.release().await;
    is_closed().await;
    let outcome = "SELECT count(*) FROM inbox WHERE outcome = 'mismatch'";
    assert_eq!(fixture.shop.count(outcome).await, 1);
}

#[tokio::test]
async fn rejected_refund_is_retried_with_growing_delays() {
    let fixture = Fixture::paid().await;
    fixture.shop.app.allow_dead("refund");
    let empty_balance = json!({"balanceFen": 0});
    fixture
        .shop
        .wechat
        .must(Method::PUT, "pay/settings", empty_balance)
        .await;
    let refund = fixture.request_refund().await;
    fixture.settle(&refund).await;
    let one_hour = async || {
        for _ in 0..60 {
            fixture.shop.advance_time(Duration::from_secs(60)).await;
            fixture.shop.run_job(&fixture.handlers, sweep()).await;
        }
        fixture.refund(refund.refund_id).await
    };
    let first = one_hour().await;
    assert_eq!(first.status, RefundStatus::Requested);
    assert!((4..=9).contains(&first.checks), "{first:?}");
    let second = one_hour().await;
    let checks = second.checks - first.checks;
    assert!((1..=3).contains(&checks), "{second:?}");

    let unlimited_balance = json!({"balanceFen": null});
    fixture
        .shop
        .wechat
        .must(Method::PUT, "pay/settings", unlimited_balance)
        .await;
    assert_eq!(one_hour().await.status, RefundStatus::Processing);
}
