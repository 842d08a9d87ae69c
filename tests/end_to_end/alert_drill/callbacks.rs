//! Callbacks that do not arrive or are forged, webhooks that are not delivered, and orders that do not close.

use std::time::Duration;

use avalon_test_support::FleetSettings;
use avalon_tests::send;
use serde_json::json;
use sqlx::{Connection, PgConnection};
use tokio::time::sleep;

use super::game_server::GameServer;
use super::harness::{Drill, Stores};

pub(super) const ALERTS: &[&str] = &[
    "CallbacksContradictOrders",
    "CallbacksWithBadSignatures",
    "ErasuresStuck",
    "InboxWaits",
    "OrdersOverdue",
    "OrdersWithoutCallbacks",
    "PaidNotDelivered",
];

#[tokio::test]
#[ignore = "takes minutes; run by scripts/alert-drill"]
async fn drill() {
    let stores = Stores::start().await;
    let (game_server, webhook_url) = GameServer::start().await;
    let fleet = stores
        .fleet()
        .with_payments()
        .env("AVALON_PAY__RECONCILE_AFTER", "1s")
        .env("AVALON_FULFIL__WEBHOOK_URL", webhook_url)
        .env(
            "AVALON_FULFIL__WEBHOOK_SECRET",
            "a-shared-secret-of-the-game",
        )
        .env("AVALON_FULFIL__ALLOW_PRIVATE_ADDRESSES", "true")
        .env("AVALON_STORAGE__ERASE_DELAY", "0s")
        .start(1, 1)
        .await;
    let mut drill = Drill::of(fleet, ALERTS).await;

    let paid = no_callbacks(&mut drill).await;
    forged_callbacks(&mut drill, &paid).await;
    webhooks_rejected(&mut drill, &game_server).await;
    erasure_not_accepted(&mut drill, &game_server).await;
    workers_stopped(&mut drill, stores.database.url()).await;
    drill.finish();
}

/// The orders become paid nevertheless; returns the id of one.
async fn no_callbacks(drill: &mut Drill) -> String {
    let fault = drill
        .fault(
            "WeChat's callbacks do not arrive",
            &["OrdersWithoutCallbacks"],
        )
        .await;
    let mode = |mode: &str| json!({ "mode": mode });
    drill.game.set("pay/callbacks", mode("drop")).await;
    let mut paid = String::new();
    for _ in 0..5 {
        paid = drill.order_and_pay().await;
        sleep(Duration::from_millis(700)).await;
    }
    drill.fires(&fault).await;
    drill.game.set("pay/callbacks", mode("normal")).await;
    drill.order_and_pay().await;
    drill.ends(fault).await;
    paid
}

async fn forged_callbacks(drill: &mut Drill, paid: &str) {
    let forged = |kind: &str| json!({"outTradeNo": paid, "kind": kind});
    let fault = drill
        .fault(
            "an attacker forges callbacks",
            &["CallbacksWithBadSignatures"],
        )
        .await;
    for _ in 0..15 {
        drill
            .game
            .simulator("pay/callbacks/forge", forged("signature"))
            .await;
        sleep(Duration::from_millis(200)).await;
    }
    drill.fires(&fault).await;
    drill.ends(fault).await;

    let fault = drill
        .fault(
            "a callback reports another amount",
            &["CallbacksContradictOrders"],
        )
        .await;
    drill
        .game
        .simulator("pay/callbacks/forge", forged("amount"))
        .await;
    drill.fires(&fault).await;
    drill.ends(fault).await;
}

async fn webhooks_rejected(drill: &mut Drill, game_server: &GameServer) {
    let fault = drill
        .fault(
            "the game server rejects every webhook",
            &["PaidNotDelivered"],
        )
        .await;
    game_server.refuse(true);
    drill.order_and_pay().await;
    drill.fires(&fault).await;
    game_server.refuse(false);
    drill.ends(fault).await;
}

async fn erasure_not_accepted(drill: &mut Drill, game_server: &GameServer) {
    let fault = drill
        .fault(
            "the game server rejects the webhook of an erasure",
            &["ErasuresStuck"],
        )
        .await;
    game_server.refuse(true);
    let bob = drill.game.login("sim-bob").await;
    let open_id = bob.body["userInfo"]["openId"].as_str().unwrap();
    let ops = &drill.fleet.apis[0].ops;
    let request = drill
        .game
        .client
        .post(format!("{ops}/admin/users/{open_id}/erase"))
        .bearer_auth(FleetSettings::ADMIN_TOKEN);
    assert_eq!(send(request).await.status, 202);
    drill.fires(&fault).await;
    game_server.refuse(false);
    drill.ends(fault).await;
}

async fn workers_stopped(drill: &mut Drill, database_url: &str) {
    let fault = drill
        .fault(
            "no worker processes callbacks and closes orders",
            &["InboxWaits", "OrdersOverdue"],
        )
        .await;
    let (paid, unpaid) = (drill.order().await, drill.order().await);
    drill.stop_workers().await;
    drill.pay(&paid).await;
    // The service computes overdue orders by its own clock: move the order back by its half hour and ten
    // minutes more.
    let mut database = PgConnection::connect(database_url).await.unwrap();
    let back = "UPDATE orders SET expires_at = expires_at - 2400000 WHERE id = $1";
    let order = unpaid.body["orderId"].as_str().unwrap();
    let moved = sqlx::query(back).bind(order).execute(&mut database).await;
    assert_eq!(moved.unwrap().rows_affected(), 1);
    drill.fires(&fault).await;
    drill.fleet.workers[0].restart().await;
    drill.ends(fault).await;
}
