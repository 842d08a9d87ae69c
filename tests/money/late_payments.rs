//! Orders that reach WeChat, or are paid there, after they have ended here.

use std::time::Duration;

use avalon_core::jobs::{CancelOrder, Sweep};
use avalon_core::payments::order_rows::{self, Order};
use avalon_core::payments::{OrderStatus, inventory};
use avalon_queue::{Handlers, JobState, JobStore, JobView};
use avalon_test_support::TestDatabase;
use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};

use crate::manual_worker::{Death, live};
use crate::shop::{Player, Shop};

struct Scene {
    shop: Shop,
    handlers: Handlers,
    player: Player,
    gems: String,
}

impl Scene {
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

    /// A cancellation that asks, hears that nobody has paid, and has the order closed; in between the
    /// player pays. What became of it.
    async fn cancelled_while_paid(&self, order: &str) -> JobView {
        let slow = json!({"latencyMs": 300, "api": "pay_close"});
        self.shop.wechat.faults(slow).await;
        let (order_id, user_id) = (order.to_owned(), self.player.0);
        let cancel = CancelOrder { order_id, user_id }.into_job().unwrap();
        let paid = async {
            tokio::time::sleep(Duration::from_millis(150)).await;
            self.pay(order, false).await;
        };
        let (view, ()) = tokio::join!(self.shop.done(&self.handlers, cancel), paid);
        view
    }

    /// An order that was cancelled while its request was on its way to WeChat, where it has arrived
    /// now.
    async fn overtaken_order(&self, key: &str) -> Order {
        let lost = json!({"outage": "reset", "api": "pay_jsapi"});
        self.shop.wechat.faults(lost).await;
        let create = self.player.order(&self.gems, 1, key).into_job().unwrap();
        self.shop.done(&self.handlers, create).await;
        // Nobody tries again.
        self.shop.flush_queue().await;
        self.shop.wechat.faults(json!({})).await;
        let orders = order_rows::of_user(&self.shop.database, self.player.0, None, None, 1);
        let order = orders.await.unwrap().remove(0);

        let (order_id, user_id) = (order.id.clone(), self.player.0);
        let cancel = CancelOrder { order_id, user_id }.into_job().unwrap();
        let view = self.shop.done(&self.handlers, cancel).await;
        assert_eq!(view.state, JobState::Succeeded, "{view:?}");
        assert_eq!(self.order(&order.id).await.status, OrderStatus::Closed);

        let request = order.channel_request.clone().unwrap();
        self.shop.client().submit_order(&request).await.unwrap();
        order
    }

    async fn order(&self, id: &str) -> Order {
        let order = order_rows::by_id(&self.shop.database, id).await.unwrap();
        order.unwrap()
    }

    async fn at_wechat(&self, id: &str) -> Value {
        let path = format!("pay/orders/{id}");
        self.shop.wechat.must(Method::GET, &path, json!({})).await["tradeState"].take()
    }

    async fn pay(&self, id: &str, notify: bool) {
        let path = format!("pay/orders/{id}/pay");
        let wish = json!({"notify": notify});
        self.shop.wechat.must(Method::POST, &path, wish).await;
    }

    async fn six_minutes_later(&self) {
        self.shop.pass(Duration::from_secs(360)).await;
        let sweep = Sweep {}.into_job(Duration::from_millis(1)).unwrap();
        self.shop.done(&self.handlers, sweep).await;
    }

    async fn owns(&self) -> i64 {
        let items = inventory::items(&self.shop.database, self.player.0);
        items.await.unwrap().iter().map(|item| item.quantity).sum()
    }
}

#[tokio::test]
async fn order_reaching_wechat_after_cancellation_is_closed_there() {
    let scene = Scene::of(false).await;
    let order = scene.overtaken_order("k").await;
    assert_eq!(scene.at_wechat(&order.id).await, "NOTPAY");
    scene.six_minutes_later().await;
    assert_eq!(scene.at_wechat(&order.id).await, "CLOSED");
    // That was the last look.
    let order = scene.order(&order.id).await;
    assert_eq!(order.next_check_at, None);
    assert_eq!(order.status, OrderStatus::Closed);
}

#[tokio::test]
async fn payment_after_cancellation_is_found_without_a_callback() {
    let scene = Scene::of(false).await;
    let order = scene.overtaken_order("k").await;
    scene.pay(&order.id, false).await;
    scene.six_minutes_later().await;
    assert_eq!(scene.order(&order.id).await.status, OrderStatus::Paid);
    assert_eq!(scene.owns().await, 1);
}

#[tokio::test]
async fn order_cancelled_during_submission_is_closed_not_offered() {
    let scene = Scene::of(false).await;
    let slow = json!({"latencyMs": 300, "api": "pay_jsapi"});
    scene.shop.wechat.faults(slow).await;
    let create = scene.player.order(&scene.gems, 1, "k").into_job().unwrap();
    let id = create.id;
    scene.shop.store.enqueue(vec![create]).await.unwrap();
    let leased = scene.shop.take_jobs().await.remove(0);
    let cancel = async {
        let order = loop {
            tokio::time::sleep(Duration::from_millis(10)).await;
            let orders = order_rows::of_user(&scene.shop.database, scene.player.0, None, None, 1);
            let order = orders.await.unwrap().pop();
            if let Some(order) = order.filter(|order| order.submitted_at.is_some()) {
                break order;
            }
        };
        let (order_id, user_id) = (order.id.clone(), scene.player.0);
        let cancel = CancelOrder { order_id, user_id }.into_job().unwrap();
        let view = scene.shop.done(&scene.handlers, cancel).await;
        assert_eq!(view.state, JobState::Succeeded, "{view:?}");
        order.id
    };
    let ((), order) = tokio::join!(scene.shop.work(&scene.handlers, leased), cancel);
    let view = scene.shop.store.get(id).await.unwrap().unwrap();
    assert_eq!(view.state, JobState::Rejected, "{view:?}");
    assert_eq!(view.error.unwrap().code, "ORDER_STATE");
    assert_eq!(scene.at_wechat(&order).await, "CLOSED");
}

#[tokio::test]
async fn offered_order_is_not_closed_when_wechat_cannot_find_it() {
    let scene = Scene::of(false).await;
    let order = scene
        .shop
        .order(&scene.handlers, scene.player, &scene.gems, "k")
        .await;
    // WeChat forgets it.
    scene.shop.wechat.reset().await;
    scene.shop.pass(Duration::from_secs(1900)).await;
    scene.shop.work_all(&scene.handlers).await;
    assert_eq!(scene.order(&order).await.status, OrderStatus::Pending);
    let (order_id, user_id) = (order.clone(), scene.player.0);
    let cancel = CancelOrder { order_id, user_id }.into_job().unwrap();
    let view = scene.shop.done(&scene.handlers, cancel).await;
    assert_eq!(view.state, JobState::Retrying, "{view:?}");
    assert_eq!(scene.order(&order).await.status, OrderStatus::Pending);
    // Its offer has ended: nobody can pay it any more.
    scene.shop.flush_queue().await;
    scene.shop.pass(Duration::from_secs(7200)).await;
    scene.six_minutes_later().await;
    assert_eq!(scene.order(&order).await.status, OrderStatus::Closed);
}

#[tokio::test]
async fn mismatching_payment_is_queried_at_the_usual_pace() {
    let scene = Scene::of(false).await;
    let mut orders = Vec::new();
    for key in ["pending", "closed"] {
        let order = scene
            .shop
            .order(&scene.handlers, scene.player, &scene.gems, key)
            .await;
        scene.pay(&order, false).await;
        sqlx::query("UPDATE orders SET total_fee = total_fee + 1 WHERE id = $1")
            .bind(&order)
            .execute(scene.shop.database.pool())
            .await
            .unwrap();
        orders.push(order);
    }
    sqlx::query("UPDATE orders SET status = 'closed', holds_stock = 0 WHERE id = $1")
        .bind(&orders[1])
        .execute(scene.shop.database.pool())
        .await
        .unwrap();
    scene.six_minutes_later().await;
    let pending = scene.order(&orders[0]).await;
    assert_eq!(pending.status, OrderStatus::Pending);
    let now = Timestamp::now().as_millisecond();
    assert!(pending.next_check_at.unwrap() > now, "{pending:?}");
    // Its last look.
    let closed = scene.order(&orders[1]).await;
    assert_eq!(closed.status, OrderStatus::Closed);
    assert_eq!(closed.next_check_at, None);
    assert_eq!(scene.owns().await, 0);
}

#[tokio::test]
async fn payment_that_beats_its_cancellation_is_granted() {
    let scene = Scene::of(false).await;
    let order = scene
        .shop
        .order(&scene.handlers, scene.player, &scene.gems, "k")
        .await;
    let view = scene.cancelled_while_paid(&order).await;
    assert_eq!(view.state, JobState::Rejected, "{view:?}");
    assert_eq!(view.error.unwrap().code, "ORDER_STATE");
    assert_eq!(scene.order(&order).await.status, OrderStatus::Paid);
    assert_eq!(scene.owns().await, 1);
}

#[tokio::test]
async fn items_return_when_the_refund_of_a_late_payment_fails() {
    let scene = Scene::of(true).await;
    let order = scene
        .shop
        .order(&scene.handlers, scene.player, &scene.gems, "k")
        .await;
    let view = scene.cancelled_while_paid(&order).await;
    assert_eq!(view.state, JobState::Succeeded, "{view:?}");
    assert_eq!(scene.order(&order).await.status, OrderStatus::Refunding);
    assert_eq!(scene.owns().await, 0);

    let refunds = scene.shop.wechat.list("refunds", "refunds").await;
    let number = refunds[0]["outRefundNo"].as_str().unwrap();
    let path = format!("pay/refunds/{number}/finish");
    let closed = json!({"status": "CLOSED"});
    scene.shop.wechat.must(Method::POST, &path, closed).await;
    let all = json!({});
    scene
        .shop
        .wechat
        .must(Method::POST, "pay/callbacks/release", all)
        .await;
    scene.shop.judge_callbacks(&scene.handlers).await;
    assert_eq!(scene.order(&order).await.status, OrderStatus::Paid);
    assert_eq!(scene.owns().await, 1);

    // The player still wants the money: WeChat has closed that refund, so this is another one.
    let (order_id, user_id) = (order.clone(), scene.player.0);
    let cancel = CancelOrder { order_id, user_id }.into_job().unwrap();
    scene.shop.pass(Duration::from_secs(60)).await;
    let view = scene.shop.done(&scene.handlers, cancel).await;
    assert_eq!(view.state, JobState::Succeeded, "{view:?}");
    assert_eq!(scene.shop.wechat.list("refunds", "refunds").await.len(), 2);
    assert_eq!(scene.order(&order).await.status, OrderStatus::Refunding);
    assert_eq!(scene.owns().await, 0);
}

#[tokio::test]
async fn webhook_reports_a_late_payment_only_if_it_is_kept() {
    let scene = Scene::of(true).await;
    let told = "SELECT count(*) FROM fulfilments WHERE type = 'order.paid'";
    for (end, expected) in [("SUCCESS", 0), ("CLOSED", 1)] {
        let order = scene.overtaken_order(end).await;
        scene.pay(&order.id, false).await;
        scene.six_minutes_later().await;
        assert_eq!(scene.order(&order.id).await.status, OrderStatus::Refunding);
        assert_eq!(scene.shop.count(told).await, 0);
        let refunds = scene.shop.wechat.list("refunds", "refunds").await;
        let refund = refunds.last().unwrap();
        let path = format!(
            "pay/refunds/{}/finish",
            refund["outRefundNo"].as_str().unwrap()
        );
        let end = json!({"status": end});
        scene.shop.wechat.must(Method::POST, &path, end).await;
        scene.six_minutes_later().await;
        assert_eq!(scene.shop.count(told).await, expected);
        assert_eq!(scene.owns().await, expected);
    }
}

#[tokio::test]
async fn crashed_worker_leaves_order_and_items_consistent() {
    let scene = Scene::of(false).await;
    let (mut paid, mut unpaid) = (0, 0);
    for after in 1..40 {
        let key = after.to_string();
        let order = scene
            .shop
            .order(&scene.handlers, scene.player, &scene.gems, &key)
            .await;
        scene.pay(&order, true).await;
        let all = json!({});
        scene
            .shop
            .wechat
            .must(Method::POST, "pay/callbacks/release", all)
            .await;
        let death = Death {
            after,
            lingers_ms: 20,
        };
        let mut jobs = scene.shop.take_jobs().await;
        while jobs.is_empty() {
            // The door makes one after it has answered.
            tokio::time::sleep(Duration::from_millis(5)).await;
            jobs = scene.shop.take_jobs().await;
        }
        for leased in jobs {
            let work = scene.shop.work(&scene.handlers, leased);
            live(work, Some(death), fastrand::Rng::with_seed(0)).await;
        }
        let is_paid = scene.order(&order).await.status == OrderStatus::Paid;
        let source = format!("order:{order}");
        let granted: i64 =
            sqlx::query_scalar("SELECT count(*) FROM inventory_ledger WHERE source = $1")
                .bind(source)
                .fetch_one(scene.shop.database.pool())
                .await
                .unwrap();
        assert_eq!(i64::from(is_paid), granted, "it died after {after} waits");
        let outcome: Option<String> =
            sqlx::query_scalar("SELECT outcome FROM inbox ORDER BY id DESC LIMIT 1")
                .fetch_one(scene.shop.database.pool())
                .await
                .unwrap();
        assert!(is_paid || outcome.is_none(), "it died after {after} waits");
        paid += usize::from(is_paid);
        unpaid += usize::from(!is_paid);
        scene.shop.flush_queue().await;
    }
    assert!(paid > 0 && unpaid > 0, "{paid} {unpaid}");
}

#[tokio::test]
async fn late_payment_is_refunded_wherever_the_worker_crashes() {
    let scene = Scene::of(true).await;
    for after in 1..40 {
        let order = scene.overtaken_order(&after.to_string()).await;
        scene.pay(&order.id, true).await;
        let all = json!({});
        scene
            .shop
            .wechat
            .must(Method::POST, "pay/callbacks/release", all)
            .await;
        let death = Death {
            after,
            lingers_ms: 0,
        };
        for leased in scene.shop.take_jobs().await {
            let work = scene.shop.work(&scene.handlers, leased);
            live(work, Some(death), fastrand::Rng::with_seed(0)).await;
        }
        let status = scene.order(&order.id).await.status;
        assert_ne!(status, OrderStatus::Paid, "it died after {after} waits");
        // The money is not back yet, and nobody can use up what it was for.
        assert_eq!(scene.owns().await, 0, "it died after {after} waits");
        scene.shop.flush_queue().await;
    }
    scene.six_minutes_later().await;
    for refund in scene.shop.wechat.list("refunds", "refunds").await {
        let path = format!(
            "pay/refunds/{}/finish",
            refund["outRefundNo"].as_str().unwrap()
        );
        scene
            .shop
            .wechat
            .may(&path, json!({"status": "SUCCESS"}))
            .await;
    }
    scene.six_minutes_later().await;
    let orders = order_rows::of_user(&scene.shop.database, scene.player.0, None, None, 100);
    for order in orders.await.unwrap() {
        assert_eq!(order.status, OrderStatus::Refunded, "{order:?}");
    }
    assert_eq!(scene.owns().await, 0);
}
