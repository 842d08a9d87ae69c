//! Broken session keys: an operator resets them, and the metrics show whether a key is stale or the data
//! were changed.

use std::time::Duration;

use avalon_test_support::{Avalon, FleetSettings, eventually_eq};
use avalon_tests::{Client, Game, send};
use serde_json::{Value, json};

const TIMEOUT: Duration = Duration::from_secs(15);
const APP_ID: &str = FleetSettings::APP_ID;
const APP_SECRET: &str = FleetSettings::APP_SECRET;

async fn dev() -> (Avalon, Game) {
    let dev = Avalon::command("dev")
        .env("AVALON_ADMIN__TOKEN", FleetSettings::ADMIN_TOKEN)
        .env("AVALON_WECHAT__APP_ID", APP_ID)
        .env("AVALON_WECHAT__APP_SECRET", APP_SECRET)
        .start()
        .await;
    let game = Game::of(&dev, &dev);
    (dev, game)
}

fn named(name: &str) -> Value {
    json!({"data": {"nickName": name}})
}

async fn reset(game: &Game, dev: &Avalon, open_id: &str) -> Value {
    let admin = |path: &str| format!("{}{path}", dev.ops);
    let path = format!("/admin/users/{open_id}/resetSessionKey");
    let request = game.client.post(admin(&path));
    let accepted = send(request.bearer_auth(FleetSettings::ADMIN_TOKEN)).await;
    assert_eq!(accepted.status, 202, "{accepted:?}");
    let job = admin(accepted.header("location"));
    let ended = async || {
        let request = game.client.get(&job);
        let job = send(request.bearer_auth(FleetSettings::ADMIN_TOKEN))
            .await
            .body;
        let status = job["status"].as_str().unwrap_or_default().to_owned();
        (matches!(&*status, "succeeded" | "failed"), job)
    };
    eventually_eq(TIMEOUT, true, async || ended().await.0).await;
    ended().await.1
}

/// Number of session key probes with this outcome, from the metrics.
async fn probes(game: &Game, dev: &Avalon, outcome: &str) -> u64 {
    let metrics = game.client.get(format!("{}/metrics", dev.ops)).send();
    let metrics = metrics.await.unwrap().text().await.unwrap();
    let series = format!("avalon_session_key_probes_total{{outcome=\"{outcome}\"}} ");
    let line = metrics.lines().find_map(|line| line.strip_prefix(&series));
    line.map_or(0, |count| count.parse().unwrap())
}

#[tokio::test]
async fn reset_session_key_invalidates_the_old_one_at_once() {
    let (dev, game) = dev().await;
    let alice = Client::sign_in(&game, "alice").await;
    let under_old = alice.encrypted(named("old")).await;
    let job = reset(&game, &dev, &alice.open_id).await;
    assert_eq!(job["status"], "succeeded", "{job}");
    let player = game
        .ask_simulator(&format!("players/{}", alice.open_id))
        .await;
    assert_eq!(player["generation"], 1, "WeChat issued a new one");
    assert!(
        !job.to_string()
            .contains(player["sessionKey"].as_str().unwrap())
    );
    // The session continues with the new key, and the old one has no grace period.
    alice
        .update(&under_old)
        .await
        .assert_problem(401, "SIGN_IN_AGAIN");
    let under_new = alice.encrypted(named("new")).await;
    let response = alice.update(&under_new).await;
    assert_eq!(response.body["userInfo"]["nickname"], "new");

    let url = format!("{}/admin/users/oUnknown/resetSessionKey", dev.ops);
    let request = game.client.post(&url);
    let unknown = send(request.bearer_auth(FleetSettings::ADMIN_TOKEN)).await;
    assert_eq!(
        (unknown.status.as_u16(), unknown.code()),
        (404, "USER_NOT_FOUND")
    );
    assert_eq!(send(game.client.post(&url)).await.status, 401);
}

#[tokio::test]
async fn stale_key_and_changed_data_differ_only_for_operators() {
    let (dev, game) = dev().await;
    let bob = Client::sign_in(&game, "bob").await;
    let good = bob.encrypted(named("Bob")).await;
    let changed = json!({"encryptedData": good["encryptedData"], "iv": "AQEBAQEBAQEBAQEBAQEBAQ=="});
    bob.update(&changed)
        .await
        .assert_problem(401, "SIGN_IN_AGAIN");
    eventually_eq(TIMEOUT, 1, async || probes(&game, &dev, "valid").await).await;
    // Repeated failures probe WeChat only once for a while.
    for _ in 0..3 {
        bob.update(&changed)
            .await
            .assert_problem(401, "SIGN_IN_AGAIN");
    }

    // A sign-in that does not reach the service replaces the key at WeChat.
    let carol = Client::sign_in(&game, "carol").await;
    game.set("settings", json!({"sessionKeyRotation": "always"}))
        .await;
    let code = game.mint_code("carol").await;
    let exchange = format!("{}/sns/jscode2session", dev.simulator);
    let exchange = game.client.get(exchange).query(&[
        ("appid", APP_ID),
        ("secret", APP_SECRET),
        ("grant_type", "authorization_code"),
        ("js_code", &code),
    ]);
    assert!(send(exchange).await.body["session_key"].is_string());
    let newer = carol.encrypted(named("Carol")).await;
    carol
        .update(&newer)
        .await
        .assert_problem(401, "SIGN_IN_AGAIN");
    eventually_eq(TIMEOUT, 1, async || probes(&game, &dev, "stale").await).await;
    assert_eq!(probes(&game, &dev, "valid").await, 1);
    let probe_requests = game.ask_simulator("requests/count?api=check_session").await;
    assert_eq!(probe_requests["count"], 2);
    // A new sign-in fixes it.
    let carol = Client::sign_in(&game, "carol").await;
    let fresh = carol.encrypted(named("Carol")).await;
    assert_eq!(carol.update(&fresh).await.status, 200);
}
