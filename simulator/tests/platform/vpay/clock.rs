//! The clock that can be advanced: the 48 hours of bill numbers, late coins, and both ladders of pushes.

use serde_json::json;

use super::app::{App, eventually};
use super::inbox::Inbox;

const PAY: &str = "/wxa/game/pay";

async fn advance(app: &App, seconds: u64) {
    app.post("/clock/advance", json!({"seconds": seconds}))
        .await;
}

#[tokio::test]
async fn bill_number_counts_as_new_after_48_hours() {
    let app = App::start(None).await;
    app.give(r#"{"bought":100}"#).await;
    let spend = json!({"amount": 30, "bill_no": "spend-1"});
    assert_eq!(app.errcode(PAY, spend.clone()).await, 0);
    advance(&app, 48 * 3600 - 60).await;
    assert_eq!(app.errcode(PAY, spend.clone()).await, 90012);
    advance(&app, 60).await;
    assert_eq!(app.errcode(PAY, spend).await, 0);
    assert_eq!(app.balance().await["balance"], 40);
}

#[tokio::test]
async fn late_coins_are_credited_and_reported_when_due() {
    let inbox = Inbox::start(&[]).await;
    let app = App::start(Some(&inbox.url)).await;
    app.put("/settings", json!({"coinDelaySeconds": 600})).await;
    app.put("/push-settings", json!({"encryption": "plain"}))
        .await;
    assert_eq!(app.code(&App::coin_order("C1"), json!({})).await, 0);
    assert_eq!(app.query("C1", 1).await["pay_state"], 2);
    assert_eq!(app.balance().await["balance"], 0);
    assert!(inbox.received().is_empty());
    advance(&app, 601).await;
    assert_eq!(app.balance().await["balance"], 60);
    let push = inbox.wait(1).await.remove(0);
    assert_eq!(push.json()["Event"], "minigame_coin_deliver_completed");
    assert_eq!(push.payload()["CoinInfo"]["BuyQuantity"], 60);
}

/// Advances through a ladder step by step, and returns the number of attempts.
async fn climb(order: serde_json::Value, steps: &[u64]) -> usize {
    let refusals = vec!["{}"; 40];
    let inbox = Inbox::start(&refusals).await;
    let app = App::start(Some(&inbox.url)).await;
    assert_eq!(app.code(&order, json!({})).await, 0);
    inbox.wait(1).await;
    for (n, step) in steps.iter().enumerate() {
        // The attempt is recorded shortly after its answer was sent.
        eventually(async || {
            let pushes = app.sim.get("/vpay/pushes").await;
            pushes["pushes"][0]["attempts"].as_array().unwrap().len() > n
        })
        .await;
        advance(&app, *step).await;
        inbox.wait(n + 2).await;
    }
    eventually(async || {
        let pushes = app.sim.get("/vpay/pushes").await;
        pushes["pushes"][0]["status"] == "failed"
    })
    .await;
    inbox.received().len()
}

#[tokio::test]
async fn deliveries_are_repeated_for_a_day() {
    let steps = [
        15, 15, 30, 180, 600, 1_200, 1_800, 1_800, 1_800, 3_600, 10_800, 10_800, 10_800, 21_600,
        21_600,
    ];
    assert_eq!(climb(App::item_order("T1"), &steps).await, 16);
}

#[tokio::test]
async fn other_payment_events_are_repeated_for_half_a_day() {
    let steps = [
        15, 15, 30, 180, 600, 1_200, 1_800, 1_800, 1_800, 3_600, 10_800, 10_800, 10_800,
    ];
    assert_eq!(climb(App::coin_order("C1"), &steps).await, 14);
}

#[tokio::test]
async fn first_try_may_come_after_the_first_step() {
    let inbox = Inbox::start(&[]).await;
    let app = App::start(Some(&inbox.url)).await;
    app.put("/push-settings", json!({"firstTryAtOnce": false}))
        .await;
    assert_eq!(app.code(&App::item_order("T1"), json!({})).await, 0);
    assert!(inbox.received().is_empty());
    advance(&app, 16).await;
    inbox.wait(1).await;
}

#[tokio::test]
async fn reset_sets_the_clock_back() {
    let app = App::start(None).await;
    advance(&app, 3600).await;
    let clock = app.sim.get("/vpay/clock").await;
    assert_ne!(clock["now"], clock["platform"]);
    app.sim.control(reqwest::Method::POST, "/reset", "").await;
    let clock = app.sim.get("/vpay/clock").await;
    assert_eq!(clock["now"], clock["platform"]);
}
