//! Webhooks that the game server rejects, and their order.

use std::time::Duration;

use avalon_core::base::ids::FulfilmentId;
use avalon_core::payments::RefundStatus;
use avalon_core::payments::fulfilments::Webhooks;
use avalon_core::payments::refund_outcomes;
use avalon_core::payments::refunds::{self, NewRefund};
use avalon_queue::{JobState, JobStore, NewJob};
use avalon_test_support::TestDatabase;
use avalon_workers::Fulfil;
use jiff::Timestamp;
use reqwest::Method;
use serde_json::json;

use crate::shop::Shop;

#[tokio::test]
async fn undelivered_webhook_dies_and_is_delivered_when_replayed() {
    let shop = Shop::open(TestDatabase::sqlite()).await;
    let (handlers, player) = (shop.handlers(false), shop.player().await);
    let gems = shop.product(100, None, None).await;
    let order = shop.order(&handlers, player, &gems, "k").await;
    shop.game_server.refuse(true);
    let pay = format!("pay/orders/{order}/pay");
    shop.wechat.must(Method::POST, &pay, json!({})).await;
    while shop.count("SELECT count(*) FROM fulfilments").await == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
        shop.run_due_jobs(&handlers).await;
    }
    let mut rounds = 0;
    while shop.jobs(JobState::Dead).await.is_empty() {
        rounds += 1;
        assert!(rounds < 100, "it is retried forever");
        shop.advance_time(Duration::from_secs(4 * 3600)).await;
        shop.run_due_jobs(&handlers).await;
    }
    let dead = shop.jobs(JobState::Dead).await.remove(0);
    assert_eq!((dead.kind.as_str(), dead.attempts), ("fulfil", 29));
    assert_eq!(dead.error.unwrap().code, "WEBHOOK_FAILED");

    shop.game_server.refuse(false);
    assert!(shop.store.replay(dead.id).await.unwrap());
    shop.run_due_jobs(&handlers).await;
    let id: FulfilmentId = sqlx::query_scalar("SELECT id FROM fulfilments WHERE delivered_at > 0")
        .fetch_one(shop.database.pool())
        .await
        .unwrap();
    assert_eq!(shop.game_server.received(&id.to_string()), 1);
}

#[tokio::test]
async fn refund_webhook_is_delivered_after_the_paid_webhook() {
    let shop = Shop::open(TestDatabase::sqlite()).await;
    shop.wechat.reset().await;
    let (handlers, player) = (shop.handlers(false), shop.player().await);
    let gems = shop.product(100, None, None).await;
    let order = shop.order(&handlers, player, &gems, "k").await;
    shop.game_server.refuse(true);
    let pay = format!("pay/orders/{order}/pay");
    shop.wechat.must(Method::POST, &pay, json!({})).await;
    let all = json!({});
    shop.wechat
        .must(Method::POST, "pay/callbacks/release", all)
        .await;
    shop.process_callbacks(&handlers).await;
    let new = NewRefund {
        order_id: order,
        amount: None,
        quantity: None,
        reason: "test".to_owned(),
        idempotency_key: "r".to_owned(),
        request_digest: String::new(),
    };
    let now = Timestamp::now();
    let refund = refunds::request(&shop.database, &new, now).await.unwrap();
    let back = RefundStatus::Succeeded;
    refund_outcomes::apply(
        &shop.database,
        refund.refund_id,
        back,
        Some("50"),
        Webhooks::Stored,
        now,
    )
    .await
    .unwrap();
    let id = async |kind: &str| -> FulfilmentId {
        sqlx::query_scalar("SELECT id FROM fulfilments WHERE type = $1")
            .bind(kind)
            .fetch_one(shop.database.pool())
            .await
            .unwrap()
    };
    let (paid, refunded) = (id("order.paid").await, id("order.refunded").await);
    // The game server accepts again, and the job of the later webhook runs first.
    shop.flush_queue().await;
    shop.game_server.refuse(false);
    let fulfil = |fulfilment_id| NewJob::from_job(&Fulfil { fulfilment_id });
    let view = shop.run_job(&handlers, fulfil(refunded)).await;
    assert_eq!(view.state, JobState::Retrying, "{view:?}");
    assert_eq!(shop.game_server.received(&refunded.to_string()), 0);
    shop.run_job(&handlers, fulfil(paid)).await;
    assert_eq!(shop.game_server.received(&paid.to_string()), 1);
    shop.advance_time(Duration::from_secs(60)).await;
    shop.run_due_jobs(&handlers).await;
    assert_eq!(shop.game_server.received(&refunded.to_string()), 1);
}

#[tokio::test]
async fn refund_webhook_is_sent_though_the_paid_one_expired() {
    let shop = Shop::open(TestDatabase::sqlite()).await;
    let player = shop.player().await;
    let gems = shop.product(100, None, None).await;
    let handlers = shop.handlers(false);
    let order = shop.order(&handlers, player, &gems, "k").await;
    let fulfilment_id = FulfilmentId::new();
    for (id, source, age_hours) in [
        (FulfilmentId::new(), format!("order:{order}"), 73),
        (fulfilment_id, "r".into(), 0),
    ] {
        sqlx::query(
            "INSERT INTO fulfilments (id, order_id, type, source, body, created_at)
             VALUES ($1, $2, 'test', $3, '{}', $4)",
        )
        .bind(id)
        .bind(order)
        .bind(source)
        .bind(Timestamp::now().as_millisecond() - age_hours * 3_600_000)
        .execute(shop.database.pool())
        .await
        .unwrap();
    }
    let job = NewJob::from_job(&Fulfil { fulfilment_id });
    assert_eq!(
        shop.run_job(&handlers, job).await.state,
        JobState::Succeeded
    );
}
