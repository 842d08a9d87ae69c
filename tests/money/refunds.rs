//! Refunds that end here and go on at WeChat.

use std::time::Duration;

use avalon_core::jobs::{Reconcile, SettleRefund, Sweep};
use avalon_core::payments::order_rows::{self, Order};
use avalon_core::payments::reconciliation::{self, beijing_day};
use avalon_core::payments::refunds::{self, NewRefund, Refund};
use avalon_core::payments::{OrderStatus, RefundStatus, inventory, products};
use avalon_queue::{Handlers, JobState};
use avalon_test_support::TestDatabase;
use avalon_wechat::pay::{Fen, OutRefundNo, OutTradeNo, RefundOf, RefundOrder};
use jiff::Timestamp;
use reqwest::Method;
use serde_json::json;

use crate::shop::{Player, Shop};

struct Scene {
    shop: Shop,
    handlers: Handlers,
    player: Player,
    order_id: String,
}

impl Scene {
    /// An order that is paid, with its goods granted.
    async fn paid() -> Self {
        let shop = Shop::open(TestDatabase::sqlite()).await;
        shop.wechat.reset().await;
        let (handlers, player) = (shop.handlers(false), shop.player().await);
        let gems = shop.product(100, None, None).await;
        let order_id = shop.order(&handlers, player, &gems, "k").await;
        let pay = format!("pay/orders/{order_id}/pay");
        shop.wechat.must(Method::POST, &pay, json!({})).await;
        let scene = Self {
            shop,
            handlers,
            player,
            order_id,
        };
        scene.release().await;
        assert_eq!(scene.order().await.status, OrderStatus::Paid);
        scene
    }

    /// WeChat sends the callbacks that it has held back, and they are acted upon.
    async fn release(&self) {
        let all = json!({});
        self.shop
            .wechat
            .must(Method::POST, "pay/callbacks/release", all)
            .await;
        self.shop.judge_callbacks(&self.handlers).await;
    }

    async fn order(&self) -> Order {
        let order = order_rows::by_id(&self.shop.database, &self.order_id).await;
        order.unwrap().unwrap()
    }

    async fn refund(&self, id: &str) -> Refund {
        let refund = refunds::by_id(&self.shop.database, id).await;
        refund.unwrap().unwrap()
    }

    async fn owns(&self) -> i64 {
        let items = inventory::items(&self.shop.database, self.player.0);
        items.await.unwrap().iter().map(|item| item.quantity).sum()
    }

    async fn decided(&self) -> Refund {
        let new = NewRefund {
            order_id: self.order_id.clone(),
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

    async fn settled(&self, refund: &Refund) -> avalon_queue::JobView {
        let settle = SettleRefund {
            refund_id: refund.refund_id.clone(),
            check: refund.checks,
        };
        let job = settle.into_job(Duration::ZERO).unwrap();
        self.shop.done(&self.handlers, job).await
    }

    /// WeChat refuses what it gets and does not know the refund: it ends here. Then what was on its
    /// way arrives, and the money goes back.
    async fn overtaken_refund(&self) -> Refund {
        let refund = self.decided().await;
        // Damaged on its way, as far as WeChat can see.
        refunds::keep_request(&self.shop.database, &refund.refund_id, "{}")
            .await
            .unwrap();
        let view = self.settled(&refund).await;
        assert_eq!(view.state, JobState::Succeeded, "{view:?}");
        let closed = self.refund(&refund.refund_id).await;
        assert_eq!(closed.status, RefundStatus::Closed);
        assert!(closed.is_closed_unheard());
        assert_eq!(self.order().await.status, OrderStatus::Paid);

        let request = RefundOrder {
            of: RefundOf::Order(OutTradeNo::parse(&self.order_id).unwrap()),
            out_refund_no: OutRefundNo::parse(&refund.refund_id).unwrap(),
            refund: Fen::new(refund.amount).unwrap(),
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

    /// The money is back, and so are the goods.
    async fn is_paid_back(&self, refund: &Refund) {
        let refund = self.refund(&refund.refund_id).await;
        assert_eq!(refund.status, RefundStatus::Succeeded);
        assert_eq!(refund.revoked, Some(1));
        let order = self.order().await;
        assert_eq!(
            (order.status, order.refunded_fee),
            (OrderStatus::Refunded, 100)
        );
        assert_eq!(self.owns().await, 0);
    }
}

#[tokio::test]
async fn callback_reopens_a_refund_closed_here() {
    let scene = Scene::paid().await;
    let refund = scene.overtaken_refund().await;
    scene.finish(&refund, "SUCCESS").await;
    scene.release().await;
    scene.is_paid_back(&refund).await;
}

#[tokio::test]
async fn bill_reopens_a_refund_closed_here() {
    let scene = Scene::paid().await;
    let quiet = json!({"refundCallbacks": false, "billsAtOnce": true});
    scene
        .shop
        .wechat
        .must(Method::PUT, "pay/settings", quiet)
        .await;
    let refund = scene.overtaken_refund().await;
    let day = beijing_day(Timestamp::now());
    let reconcile = || Reconcile { day, again: false }.into_job().unwrap();

    // Compared, and not asked about: the day is not done.
    let away = json!({"outage": "http502", "api": "pay_refund_query"});
    scene.shop.wechat.faults(away).await;
    let view = scene.shop.done(&scene.handlers, reconcile()).await;
    assert_eq!(view.state, JobState::Retrying, "{view:?}");
    let kept = reconciliation::list(&scene.shop.database).await.unwrap();
    let found = &kept[0].differences[0];
    assert_eq!(
        (found.kind.as_str(), &found.order_id),
        ("refund_closed_here", &refund.refund_id)
    );
    scene.shop.flush_queue().await;
    scene.shop.wechat.faults(json!({})).await;

    // It is on its way: the order is being refunded again, and WeChat is asked until the end.
    let view = scene.shop.done(&scene.handlers, reconcile()).await;
    assert_eq!(view.state, JobState::Succeeded, "{view:?}");
    let open = scene.refund(&refund.refund_id).await;
    assert_eq!(open.status, RefundStatus::Processing);
    assert_eq!(scene.order().await.status, OrderStatus::Refunding);
    scene.finish(&refund, "SUCCESS").await;
    scene.shop.pass(Duration::from_secs(2400)).await;
    let sweep = Sweep {}.into_job(Duration::from_millis(1)).unwrap();
    scene.shop.done(&scene.handlers, sweep).await;
    scene.is_paid_back(&refund).await;
    let done = reconciliation::is_done(&scene.shop.database, day).await;
    assert!(done.unwrap());
}

#[tokio::test]
async fn refund_exceeding_the_payment_is_a_mismatch() {
    let scene = Scene::paid().await;
    let refund = scene.overtaken_refund().await;
    // Another one has paid it all back meanwhile, as far as the books know.
    sqlx::query("UPDATE orders SET status = 'refunded', refunded_fee = total_fee WHERE id = $1")
        .bind(&scene.order_id)
        .execute(scene.shop.database.pool())
        .await
        .unwrap();
    scene.finish(&refund, "SUCCESS").await;
    scene.release().await;
    let mismatches = "SELECT count(*) FROM inbox WHERE outcome = 'mismatch'";
    assert_eq!(scene.shop.count(mismatches).await, 1);
    assert_eq!(scene.order().await.refunded_fee, 100);
}

#[tokio::test]
async fn missing_refund_does_not_override_a_signed_response() {
    let scene = Scene::paid().await;
    let refund = scene.decided().await;
    scene.settled(&refund).await;
    let heard = scene.refund(&refund.refund_id).await;
    assert!(heard.channel_refund_id.is_some(), "{heard:?}");
    // WeChat forgets it, and would refuse it now.
    scene.shop.wechat.reset().await;
    sqlx::query("UPDATE refunds SET channel_request = '{}' WHERE id = $1")
        .bind(&refund.refund_id)
        .execute(scene.shop.database.pool())
        .await
        .unwrap();
    scene.shop.flush_queue().await;
    let view = scene.settled(&heard).await;
    assert_eq!(view.state, JobState::Retrying, "{view:?}");
    let refund = scene.refund(&refund.refund_id).await;
    assert_eq!(refund.status, RefundStatus::Processing);
}

#[tokio::test]
async fn foreign_refund_callbacks_change_nothing() {
    let scene = Scene::paid().await;
    let refund = scene.decided().await;
    scene.settled(&refund).await;
    for (kind, outcome) in [
        ("mch", "other_merchant"),
        ("amount", "mismatch"),
        ("unknownOrder", "mismatch"),
    ] {
        let wish = json!({
            "outTradeNo": scene.order_id,
            "outRefundNo": refund.refund_id,
            "kind": kind,
        });
        scene
            .shop
            .wechat
            .must(Method::POST, "pay/callbacks/forge", wish)
            .await;
        scene.shop.judge_callbacks(&scene.handlers).await;
        let last: String = sqlx::query_scalar("SELECT outcome FROM inbox ORDER BY id DESC LIMIT 1")
            .fetch_one(scene.shop.database.pool())
            .await
            .unwrap();
        assert_eq!(last, outcome, "{kind}");
        let refund = scene.refund(&refund.refund_id).await;
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
    // Its callback is still on its way when somebody refunds it in the portal.
    let request = RefundOrder {
        of: RefundOf::Order(OutTradeNo::parse(&order_id).unwrap()),
        out_refund_no: OutRefundNo::parse("by-hand").unwrap(),
        refund: Fen::new(100).unwrap(),
        total: Fen::new(100).unwrap(),
        reason: None,
    };
    let body = request.to_body(shop.client().settings());
    shop.client().submit_refund(&body).await.unwrap();
    shop.pass(Duration::from_secs(360)).await;
    let sweep = Sweep {}.into_job(Duration::from_millis(1)).unwrap();
    shop.done(&handlers, sweep).await;
    let scene = Scene {
        shop,
        handlers,
        player,
        order_id,
    };
    let is_closed = async || {
        let order = scene.order().await;
        assert_eq!(order.status, OrderStatus::Closed);
        assert_eq!(order.next_check_at, None);
        assert_eq!(scene.owns().await, 0);
        let listed = products::list(&scene.shop.database, true).await.unwrap();
        assert_eq!(listed[0].stock, Some(1));
    };
    is_closed().await;
    scene.release().await;
    is_closed().await;
    let outcome = "SELECT count(*) FROM inbox WHERE outcome = 'mismatch'";
    assert_eq!(scene.shop.count(outcome).await, 1);
}

#[tokio::test]
async fn rejected_refund_is_retried_with_growing_delays() {
    let scene = Scene::paid().await;
    let poor = json!({"balanceFen": 0});
    scene
        .shop
        .wechat
        .must(Method::PUT, "pay/settings", poor)
        .await;
    let refund = scene.decided().await;
    scene.settled(&refund).await;
    let an_hour = async || {
        for _ in 0..60 {
            scene.shop.pass(Duration::from_secs(60)).await;
            let sweep = Sweep {}.into_job(Duration::from_millis(1)).unwrap();
            scene.shop.done(&scene.handlers, sweep).await;
        }
        scene.refund(&refund.refund_id).await
    };
    let first = an_hour().await;
    assert_eq!(first.status, RefundStatus::Requested);
    assert!((4..=9).contains(&first.checks), "{first:?}");
    let second = an_hour().await;
    let looks = second.checks - first.checks;
    assert!((1..=3).contains(&looks), "{second:?}");

    let rich = json!({"balanceFen": null});
    scene
        .shop
        .wechat
        .must(Method::PUT, "pay/settings", rich)
        .await;
    assert_eq!(an_hour().await.status, RefundStatus::Processing);
}
