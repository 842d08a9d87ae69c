//! Webhooks that the game server does not take.

use std::time::Duration;

use avalon_queue::{JobState, JobStore};
use avalon_test_support::TestDatabase;
use reqwest::Method;
use serde_json::json;

use crate::shop::Shop;

#[tokio::test]
async fn a_webhook_that_nobody_takes_becomes_a_dead_letter_and_is_delivered_when_replayed() {
    let shop = Shop::open(TestDatabase::sqlite()).await;
    let (handlers, player) = (shop.handlers(false), shop.player().await);
    let gems = shop.product(100, None, None).await;
    let order = shop.order(&handlers, player, &gems, "k").await;
    shop.game_server.refuse(true);
    let pay = format!("pay/orders/{order}/pay");
    shop.wechat.must(Method::POST, &pay, json!({})).await;
    while shop.count("SELECT count(*) FROM fulfilments").await == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
        shop.work_all(&handlers).await;
    }
    let mut rounds = 0;
    while shop.jobs(JobState::Dead).await.is_empty() {
        rounds += 1;
        assert!(rounds < 100, "it is tried for ever");
        shop.pass(Duration::from_secs(4 * 3600)).await;
        shop.work_all(&handlers).await;
    }
    let dead = shop.jobs(JobState::Dead).await.remove(0);
    assert_eq!((dead.kind.as_str(), dead.attempts), ("fulfil", 29));
    assert_eq!(dead.error.unwrap().code, "WEBHOOK_FAILED");

    shop.game_server.refuse(false);
    assert!(shop.store.replay(dead.id).await.unwrap());
    shop.work_all(&handlers).await;
    let id: String = sqlx::query_scalar("SELECT id FROM fulfilments WHERE delivered_at > 0")
        .fetch_one(shop.database.pool())
        .await
        .unwrap();
    assert_eq!(shop.game_server.taken(&id), 1);
}
