//! Nicknames and WeChat's content check: risky ones are cleared in `enforce` mode, and a check that fails
//! clears none.

use std::time::Duration;

use avalon_test_support::{Avalon, FleetSettings, eventually_eq};
use avalon_tests::{Client, Game, send};
use serde_json::{Value, json};

const TIMEOUT: Duration = Duration::from_secs(15);

async fn dev(check_text: &str) -> (Avalon, Game) {
    let dev = Avalon::command("dev")
        .env("AVALON_PROFILE__CHECK_TEXT", check_text)
        .env("AVALON_ADMIN__TOKEN", FleetSettings::ADMIN_TOKEN)
        .start()
        .await;
    let game = Game::of(&dev, &dev);
    let words = json!({"words": [
        {"word": "rude", "suggest": "risky", "label": 20003},
        {"word": "odd", "suggest": "review", "label": 21000},
    ]});
    game.set("words", words).await;
    (dev, game)
}

async fn set_nickname(client: &Client<'_>, name: &str) -> Value {
    let body = client.encrypted(json!({"data": {"nickName": name}})).await;
    let response = client.update(&body).await;
    assert_eq!(response.status, 200, "{response:?}");
    response.body["userInfo"]["nickname"].clone()
}

/// Number of checks with this outcome, from the metrics.
async fn checks(game: &Game, dev: &Avalon, outcome: &str) -> u64 {
    let metrics = game.client.get(format!("{}/metrics", dev.ops)).send();
    let metrics = metrics.await.unwrap().text().await.unwrap();
    let series = format!("avalon_nickname_checks_total{{outcome=\"{outcome}\"}} ");
    let line = metrics.lines().find_map(|line| line.strip_prefix(&series));
    line.map_or(0, |count| count.parse().unwrap())
}

async fn admin(game: &Game, dev: &Avalon, path: &str) -> Value {
    let request = game.client.get(format!("{}/admin/{path}", dev.ops));
    let request = request.bearer_auth(FleetSettings::ADMIN_TOKEN);
    send(request).await.body
}

#[tokio::test]
async fn risky_nickname_is_cleared_and_then_rejected() {
    let (dev, game) = dev("enforce").await;
    let alice = Client::sign_in(&game, "alice").await;
    assert_eq!(set_nickname(&alice, "rude Alice").await, "rude Alice");
    let nickname = async || alice.user_info().await["nickname"].clone();
    eventually_eq(TIMEOUT, Value::Null, nickname).await;
    let detail = async || {
        let events = admin(&game, &dev, "audit?kind=nickname_refused").await;
        let detail = &events["events"][0]["detail"];
        (detail["nickname"].clone(), detail["label"].clone())
    };
    eventually_eq(TIMEOUT, (json!("rude Alice"), json!(20003)), detail).await;
    // The same nickname is rejected from now on; another is accepted.
    assert_eq!(set_nickname(&alice, "rude Alice").await, Value::Null);
    assert_eq!(set_nickname(&alice, "kind Alice").await, "kind Alice");
    eventually_eq(TIMEOUT, 1, async || checks(&game, &dev, "pass").await).await;
    assert_eq!(alice.user_info().await["nickname"], "kind Alice");
}

#[tokio::test]
async fn nickname_changed_before_the_verdict_is_checked_again() {
    let (dev, game) = dev("enforce").await;
    let mallory = Client::sign_in(&game, "mallory").await;
    game.faults(json!({"latencyMs": 1500, "api": "msg_sec_check"}))
        .await;
    assert_eq!(set_nickname(&mallory, "rude Mallory").await, "rude Mallory");
    assert_eq!(set_nickname(&mallory, "kind Mallory").await, "kind Mallory");
    // The verdict is about a nickname that has been replaced.
    eventually_eq(TIMEOUT, 1, async || checks(&game, &dev, "risky").await).await;
    assert_eq!(mallory.user_info().await["nickname"], "kind Mallory");
    game.clear_faults().await;
    set_nickname(&mallory, "rude Mallory").await;
    let nickname = async || mallory.user_info().await["nickname"].clone();
    eventually_eq(TIMEOUT, Value::Null, nickname).await;
}

#[tokio::test]
async fn nickname_for_review_is_shown_and_counted() {
    let (dev, game) = dev("enforce").await;
    let bob = Client::sign_in(&game, "bob").await;
    set_nickname(&bob, "odd Bob").await;
    eventually_eq(TIMEOUT, 1, async || checks(&game, &dev, "review").await).await;
    assert_eq!(bob.user_info().await["nickname"], "odd Bob");
}

#[tokio::test]
async fn observe_mode_counts_and_keeps_risky_nicknames() {
    let (dev, game) = dev("observe").await;
    let carol = Client::sign_in(&game, "carol").await;
    set_nickname(&carol, "rude Carol").await;
    eventually_eq(TIMEOUT, 1, async || checks(&game, &dev, "risky").await).await;
    assert_eq!(carol.user_info().await["nickname"], "rude Carol");
}

#[tokio::test]
async fn nickname_set_during_a_wechat_outage_is_checked_later() {
    let (_dev, game) = dev("enforce").await;
    let dora = Client::sign_in(&game, "dora").await;
    game.faults(json!({"outage": "http502", "api": "msg_sec_check"}))
        .await;
    set_nickname(&dora, "rude Dora").await;
    let checked = async || {
        let count = game.ask_simulator("requests/count?api=msg_sec_check").await;
        count["count"].as_u64() > Some(0)
    };
    eventually_eq(TIMEOUT, true, checked).await;
    assert_eq!(dora.user_info().await["nickname"], "rude Dora");
    game.clear_faults().await;
    let nickname = async || dora.user_info().await["nickname"].clone();
    eventually_eq(Duration::from_secs(40), Value::Null, nickname).await;
}

#[tokio::test]
async fn nickname_check_of_an_inactive_player_is_retried() {
    let (dev, game) = dev("enforce").await;
    let erin = Client::sign_in(&game, "erin").await;
    let body = erin
        .encrypted(json!({"data": {"nickName": "rude Erin"}}))
        .await;
    // WeChat has not seen the player for three hours.
    game.set("settings", json!({"clockSkewSeconds": 3 * 3600}))
        .await;
    assert_eq!(erin.update(&body).await.status, 200);
    let waiting = async || {
        let jobs = admin(&game, &dev, "jobs?queue=social&status=retrying").await;
        jobs["jobs"][0]["kind"].clone()
    };
    eventually_eq(TIMEOUT, json!("check_nickname"), waiting).await;
    assert_eq!(erin.user_info().await["nickname"], "rude Erin");
}

#[tokio::test]
async fn no_nickname_is_sent_to_wechat_when_checks_are_off() {
    let (_dev, game) = dev("off").await;
    let frank = Client::sign_in(&game, "frank").await;
    assert_eq!(set_nickname(&frank, "rude Frank").await, "rude Frank");
    let jobs = game.ask_simulator("requests/count?api=msg_sec_check").await;
    assert_eq!(jobs["count"], 0);
}
