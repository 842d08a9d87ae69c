//! Orders that reach WeChat, or are paid there, after they have ended here.

use std::time::Duration;

use avalon_core::base::ids::{OrderId, ProductId};
use avalon_core::jobs::CancelOrder;
use avalon_core::payments::order_rows::{self, Order};
use avalon_core::payments::{OrderStatus, inventory};
use avalon_queue::{Handlers, JobState, JobStore, JobView, NewJob};
use avalon_test_support::TestDatabase;
use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};

use crate::manual_worker::{Crash, interleave, sweep};
use crate::shop::{Player, Shop};

struct Fixture {
    shop: Shop,
    handlers: Handlers,
    player: Player,
    gems: ProductId,
}

impl Fixture {
    async fn of(refund_late_payments: bool) -> Self {
        let shop = Shop::open(TestDatabase::sqlite()).await;
        shop.wechat.reset().await;
        Self {
            handlers: shop.handlers(refund_late_payments),
            player: shop.player().await,
            gems: shop.product(100, None, None).await,
            shop,
        }
    }

    /// Cancels an order that the player pays between the query that finds it unpaid and the closing
    /// request. Returns the cancellation job.
    async fn cancelled_while_paid(&self, order: OrderId) -> JobView {
        let slow = json!({"latencyMs": 300, "api": "pay_close"});
        self.shop.wechat.faults(slow).await;
        let (order_id, user_id) = (order, self.player.0);
        let cancel = NewJob::from_job(&CancelOrder { order_id, user_id });
        let paid = async {
            tokio::time::sleep(Duration::from_millis(150)).await;
            self.pay(order, false).await;
        };
        let (view, ()) = tokio::join!(self.shop.run_job(&self.handlers, cancel), paid);
        view
    }

    /// Creates an order that was cancelled while its request was in flight; the request has reached
    /// WeChat since.
    async fn overtaken_order(&self, key: &str) -> Order {
        let lost = json!({"outage": "reset", "api": "pay_jsapi"});
        self.shop.wechat.faults(lost).await;
        let create = NewJob::from_job(&self.player.order(&self.gems, 1, key));
        self.shop.run_job(&self.handlers, create).await;
        // Without a retry.
        self.shop.flush_queue().await;
        self.shop.wechat.faults(json!({})).await;
        let orders = order_rows::of_user(&self.shop.database, self.player.0, None, None, 1);
        let order = orders.await.unwrap().remove(0);

        let (order_id, user_id) = (order.id, self.player.0);
        let cancel = NewJob::from_job(&CancelOrder { order_id, user_id });
        let view = self.shop.run_job(&self.handlers, cancel).await;
        assert_eq!(view.state, JobState::Succeeded, "{view:?}");
        assert_eq!(self.order(order.id).await.status, OrderStatus::Closed);

        let request = order.channel_request.clone().unwrap();
        self.shop.client().submit_order(&request).await.unwrap();
        order
    }

    async fn order(&self, id: OrderId) -> Order {
        let order = order_rows::by_id(&self.shop.database, id).await.unwrap();
        order.unwrap()
    }

    async fn at_wechat(&self, id: OrderId) -> Value {
        let path = format!("pay/orders/{id}");
        self.shop.wechat.must(Method::GET, &path, json!({})).await["tradeState"].take()
    }

    async fn pay(&self, id: OrderId, notify: bool) {
        let path = format!("pay/orders/{id}/pay");
        let body = json!({"notify": notify});
        self.shop.wechat.must(Method::POST, &path, body).await;
    }

    async fn six_minutes_later(&self) {
        self.shop.advance_time(Duration::from_secs(360)).await;
        self.shop.run_job(&self.handlers, sweep()).await;
    }

    async fn owns(&self) -> i64 {
        let items = inventory::items(&self.shop.database, self.player.0);
        items.await.unwrap().iter().map(|item| item.quantity).sum()
    }
}

#[tokio::test]
async fn order_reaching_wechat_after_cancellation_is_closed_there() {
    let fixture = Fixture::of(false).await;
    let order = fixture.overtaken_order("k").await;
    assert_eq!(fixture.at_wechat(order.id).await, "NOTPAY");
    fixture.six_minutes_later().await;
    assert_eq!(fixture.at_wechat(order.id).await, "CLOSED");
    // It is not checked again.
    let order = fixture.order(order.id).await;
    assert_eq!(order.next_check_at, None);
    assert_eq!(order.status, OrderStatus::Closed);
}

#[tokio::test]
async fn payment_after_cancellation_is_found_without_a_callback() {
    let fixture = Fixture::of(false).await;
    let order = fixture.overtaken_order("k").await;
    fixture.pay(order.id, false).await;
    fixture.six_minutes_later().await;
    assert_eq!(fixture.order(order.id).await.status, OrderStatus::Paid);
    assert_eq!(fixture.owns().await, 1);
}

#[tokio::test]
async fn order_cancelled_during_submission_is_closed_not_offered() {
    let fixture = Fixture::of(false).await;
    let slow = json!({"latencyMs": 300, "api": "pay_jsapi"});
    fixture.shop.wechat.faults(slow).await;
    let create = NewJob::from_job(&fixture.player.order(&fixture.gems, 1, "k"));
    let id = create.id;
    fixture.shop.store.enqueue(vec![create]).await.unwrap();
    let leased = fixture.shop.lease_jobs().await.remove(0);
    let cancel = async {
        let order = loop {
            tokio::time::sleep(Duration::from_millis(10)).await;
            let orders =
                order_rows::of_user(&fixture.shop.database, fixture.player.0, None, None, 1);
            let order = orders.await.unwrap().pop();
            if let Some(order) = order.filter(|order| order.submitted_at.is_some()) {
                break order;
            }
        };
        let (order_id, user_id) = (order.id, fixture.player.0);
        let cancel = NewJob::from_job(&CancelOrder { order_id, user_id });
        let view = fixture.shop.run_job(&fixture.handlers, cancel).await;
        assert_eq!(view.state, JobState::Succeeded, "{view:?}");
        order.id
    };
    let ((), order) = tokio::join!(fixture.shop.run_leased(&fixture.handlers, leased), cancel);
    let view = fixture.shop.store.get(id).await.unwrap().unwrap();
    assert_eq!(view.state, JobState::Rejected, "{view:?}");
    assert_eq!(view.error.unwrap().code, "ORDER_STATE");
    assert_eq!(fixture.at_wechat(order).await, "CLOSED");
}

#[tokio::test]
async fn offered_order_is_not_closed_when_wechat_cannot_find_it() {
    let fixture = Fixture::of(false).await;
    let order = fixture
        .shop
        .order(&fixture.handlers, fixture.player, &fixture.gems, "k")
        .await;
    // WeChat forgets it.
    fixture.shop.wechat.reset().await;
    fixture.shop.advance_time(Duration::from_secs(1900)).await;
    fixture.shop.run_due_jobs(&fixture.handlers).await;
    assert_eq!(fixture.order(order).await.status, OrderStatus::Pending);
    let (order_id, user_id) = (order, fixture.player.0);
    let cancel = NewJob::from_job(&CancelOrder { order_id, user_id });
    let view = fixture.shop.run_job(&fixture.handlers, cancel).await;
    assert_eq!(view.state, JobState::Retrying, "{view:?}");
    assert_eq!(fixture.order(order).await.status, OrderStatus::Pending);
    // Its prepay id has expired: it can no longer be paid.
    fixture.shop.flush_queue().await;
    fixture.shop.advance_time(Duration::from_secs(7200)).await;
    fixture.six_minutes_later().await;
    assert_eq!(fixture.order(order).await.status, OrderStatus::Closed);
}

#[tokio::test]
async fn mismatching_payment_is_queried_at_the_usual_pace() {
    let fixture = Fixture::of(false).await;
    let mut orders = Vec::new();
    for key in ["pending", "closed"] {
        let order = fixture
            .shop
            .order(&fixture.handlers, fixture.player, &fixture.gems, key)
            .await;
        fixture.pay(order, false).await;
        sqlx::query("UPDATE orders SET total_fee = total_fee + 1 WHERE id = $1")
            .bind(order)
            .execute(fixture.shop.database.pool())
            .await
            .unwrap();
        orders.push(order);
    }
    sqlx::query("UPDATE orders SET status = 'closed', holds_stock = 0 WHERE id = $1")
        .bind(orders[1])
        .execute(fixture.shop.database.pool())
        .await
        .unwrap();
    fixture.six_minutes_later().await;
    let pending = fixture.order(orders[0]).await;
    assert_eq!(pending.status, OrderStatus::Pending);
    let now = Timestamp::now().as_millisecond();
    assert!(pending.next_check_at.unwrap() > now, "{pending:?}");
    // It is not checked again.
    let closed = fixture.order(orders[1]).await;
    assert_eq!(closed.status, OrderStatus::Closed);
    assert_eq!(closed.next_check_at, None);
    assert_eq!(fixture.owns().await, 0);
}

#[tokio::test]
async fn payment_that_beats_its_cancellation_is_granted() {
    let fixture = Fixture::of(false).await;
    let order = fixture
        .shop
        .order(&fixture.handlers, fixture.player, &fixture.gems, "k")
        .await;
    let view = fixture.cancelled_while_paid(order).await;
    assert_eq!(view.state, JobState::Rejected, "{view:?}");
    assert_eq!(view.error.unwrap().code, "ORDER_STATE");
    assert_eq!(fixture.order(order).await.status, OrderStatus::Paid);
    assert_eq!(fixture.owns().await, 1);
}

#[tokio::test]
async fn items_return_when_the_refund_of_a_late_payment_fails() {
    let fixture = Fixture::of(true).await;
    let order = fixture
        .shop
        .order(&fixture.handlers, fixture.player, &fixture.gems, "k")
        .await;
    let view = fixture.cancelled_while_paid(order).await;
    assert_eq!(view.state, JobState::Succeeded, "{view:?}");
    assert_eq!(fixture.order(order).await.status, OrderStatus::Refunding);
    assert_eq!(fixture.owns().await, 0);

    let refunds = fixture.shop.wechat.list("refunds", "refunds").await;
    let number = refunds[0]["outRefundNo"].as_str().unwrap();
    let path = format!("pay/refunds/{number}/finish");
    let closed = json!({"status": "CLOSED"});
    fixture.shop.wechat.must(Method::POST, &path, closed).await;
    let all = json!({});
    fixture
        .shop
        .wechat
        .must(Method::POST, "pay/callbacks/release", all)
        .await;
    fixture.shop.process_callbacks(&fixture.handlers).await;
    assert_eq!(fixture.order(order).await.status, OrderStatus::Paid);
    assert_eq!(fixture.owns().await, 1);

    // WeChat closed that refund, so a second cancellation creates a new one.
    let (order_id, user_id) = (order, fixture.player.0);
    let cancel = NewJob::from_job(&CancelOrder { order_id, user_id });
    fixture.shop.advance_time(Duration::from_secs(60)).await;
    let view = fixture.shop.run_job(&fixture.handlers, cancel).await;
    assert_eq!(view.state, JobState::Succeeded, "{view:?}");
    assert_eq!(
        fixture.shop.wechat.list("refunds", "refunds").await.len(),
        2
    );
    assert_eq!(fixture.order(order).await.status, OrderStatus::Refunding);
    assert_eq!(fixture.owns().await, 0);
}

#[tokio::test]
async fn webhook_reports_a_late_payment_only_if_it_is_kept() {
    let fixture = Fixture::of(true).await;
    let paid_webhooks = "SELECT count(*) FROM fulfilments WHERE type = 'order.paid'";
    for (end, expected) in [("SUCCESS", 0), ("CLOSED", 1)] {
        let order = fixture.overtaken_order(end).await;
        fixture.pay(order.id, false).await;
        fixture.six_minutes_later().await;
        assert_eq!(fixture.order(order.id).await.status, OrderStatus::Refunding);
        assert_eq!(fixture.shop.count(paid_webhooks).await, 0);
        let refunds = fixture.shop.wechat.list("refunds", "refunds").await;
        let refund = refunds.last().unwrap();
        let path = format!(
            "pay/refunds/{}/finish",
            refund["outRefundNo"].as_str().unwrap()
        );
        let end = json!({"status": end});
        fixture.shop.wechat.must(Method::POST, &path, end).await;
        fixture.six_minutes_later().await;
        assert_eq!(fixture.shop.count(paid_webhooks).await, expected);
        assert_eq!(fixture.owns().await, expected);
    }
}

#[tokio::test]
async fn crashed_worker_leaves_order_and_items_consistent() {
    let fixture = Fixture::of(false).await;
    fixture.shop.app.expect_leftover("callback");
    let (mut paid, mut unpaid) = (0, 0);
    for after in 1..40 {
        let key = after.to_string();
        let order = fixture
            .shop
            .order(&fixture.handlers, fixture.player, &fixture.gems, &key)
            .await;
        fixture.pay(order, true).await;
        let all = json!({});
        fixture
            .shop
            .wechat
            .must(Method::POST, "pay/callbacks/release", all)
            .await;
        let crash = Crash {
            after,
            lingers_ms: 20,
        };
        let mut jobs = fixture.shop.lease_jobs().await;
        while jobs.is_empty() {
            // The endpoint enqueues the job after it has responded.
            tokio::time::sleep(Duration::from_millis(5)).await;
            jobs = fixture.shop.lease_jobs().await;
        }
        for leased in jobs {
            let work = fixture.shop.run_leased(&fixture.handlers, leased);
            interleave(work, Some(crash), fastrand::Rng::with_seed(0)).await;
        }
        let is_paid = fixture.order(order).await.status == OrderStatus::Paid;
        let source = format!("order:{order}");
        let granted: i64 =
            sqlx::query_scalar("SELECT count(*) FROM inventory_ledger WHERE source = $1")
                .bind(source)
                .fetch_one(fixture.shop.database.pool())
                .await
                .unwrap();
        assert_eq!(i64::from(is_paid), granted, "crashed after {after} waits");
        let outcome: Option<String> =
            sqlx::query_scalar("SELECT outcome FROM inbox ORDER BY id DESC LIMIT 1")
                .fetch_one(fixture.shop.database.pool())
                .await
                .unwrap();
        assert!(is_paid || outcome.is_none(), "crashed after {after} waits");
        paid += usize::from(is_paid);
        unpaid += usize::from(!is_paid);
        fixture.shop.flush_queue().await;
    }
    assert!(paid > 0 && unpaid > 0, "{paid} {unpaid}");
}

#[tokio::test]
async fn late_payment_is_refunded_wherever_the_worker_crashes() {
    let fixture = Fixture::of(true).await;
    for after in 1..40 {
        let order = fixture.overtaken_order(&after.to_string()).await;
        fixture.pay(order.id, true).await;
        let all = json!({});
        fixture
            .shop
            .wechat
            .must(Method::POST, "pay/callbacks/release", all)
            .await;
        let crash = Crash {
            after,
            lingers_ms: 0,
        };
        for leased in fixture.shop.lease_jobs().await {
            let work = fixture.shop.run_leased(&fixture.handlers, leased);
            interleave(work, Some(crash), fastrand::Rng::with_seed(0)).await;
        }
        let status = fixture.order(order.id).await.status;
        assert_ne!(status, OrderStatus::Paid, "crashed after {after} waits");
        // The refund is not complete, and the items cannot be consumed.
        assert_eq!(fixture.owns().await, 0, "crashed after {after} waits");
        fixture.shop.flush_queue().await;
    }
    fixture.six_minutes_later().await;
    for refund in fixture.shop.wechat.list("refunds", "refunds").await {
        let path = format!(
            "pay/refunds/{}/finish",
            refund["outRefundNo"].as_str().unwrap()
        );
        fixture
            .shop
            .wechat
            .may(&path, json!({"status": "SUCCESS"}))
            .await;
    }
    fixture.six_minutes_later().await;
    let orders = order_rows::of_user(&fixture.shop.database, fixture.player.0, None, None, 100);
    for order in orders.await.unwrap() {
        assert_eq!(order.status, OrderStatus::Refunded, "{order:?}");
    }
    assert_eq!(fixture.owns().await, 0);
}
