//! Callbacks signed by WeChat's other keys: certificates beside the public key, a certificate that the
//! service does not know yet, and WeChat's probes with invalid signatures.

use std::time::Duration;

use avalon_test_support::{Avalon, eventually_eq};
use avalon_tests::Game;
use serde_json::{Value, json};

const TIMEOUT: Duration = Duration::from_secs(30);

/// `avalon dev` where only callbacks report payments: orders are queried too late for these tests.
async fn dev() -> (Avalon, Game) {
    let dev = Avalon::command("dev")
        .env("AVALON_PAY__RECONCILE_AFTER", "10m")
        .start()
        .await;
    let game = Game::of(&dev, &dev);
    (dev, game)
}

/// The attempts of all callbacks, once all are delivered.
async fn attempts(game: &Game) -> Vec<Value> {
    let list = async || game.ask_simulator("pay/callbacks").await["callbacks"].clone();
    eventually_eq(TIMEOUT, true, async || {
        let callbacks = list().await;
        let callbacks = callbacks.as_array().unwrap();
        !callbacks.is_empty() && callbacks.iter().all(|it| it["status"] == "delivered")
    })
    .await;
    let callbacks = list().await;
    let callbacks = callbacks.as_array().unwrap().iter();
    callbacks
        .flat_map(|it| it["attempts"].as_array().unwrap().clone())
        .collect()
}

/// Number of callbacks that the API counted with this verdict.
async fn count_by_verdict(dev: &Avalon, game: &Game, verdict: &str) -> u64 {
    let response = game.client.get(format!("{}/metrics", dev.ops)).send().await;
    let text = response.unwrap().text().await.unwrap();
    let name = format!("avalon_payment_callbacks_door_total{{verdict=\"{verdict}\"}} ");
    let count = text.lines().find_map(|line| line.strip_prefix(&name));
    count.expect("it is counted").parse().unwrap()
}

/// Waits until the service has downloaded WeChat's certificates.
async fn certificates_fetched(game: &Game) {
    eventually_eq(TIMEOUT, true, async || {
        let requests = game.ask_simulator("requests?api=pay_certificates").await;
        let requests = requests["requests"].as_array().cloned().unwrap_or_default();
        requests.iter().any(|it| it["answer"].is_string())
    })
    .await;
}

fn is_public_key(attempt: &Value) -> bool {
    attempt["serial"]
        .as_str()
        .unwrap()
        .starts_with("PUB_KEY_ID_")
}

#[tokio::test]
async fn certificate_signatures_verify_beside_the_public_key() {
    let (dev, game) = dev().await;
    certificates_fetched(&game).await;
    let alice = game.player("alice").await;
    for (n, mode) in (1..).zip(["publicKey", "certificate"]) {
        game.set("pay/callbacks", json!({ "keyMode": mode })).await;
        let created = alice.order("gems-60", 1, mode).await;
        alice.pay(&created).await;
        eventually_eq(TIMEOUT, n, async || alice.owns("gems-60").await).await;
    }
    let attempts = attempts(&game).await;
    assert!(
        attempts.iter().all(|it| it["status"] == 204),
        "{attempts:?}"
    );
    let by_public_key: Vec<bool> = attempts.iter().map(is_public_key).collect();
    assert_eq!(by_public_key, [true, false]);
    assert_eq!(count_by_verdict(&dev, &game, "verified").await, 2);
}

#[tokio::test]
async fn callback_by_an_unknown_certificate_waits_for_its_download() {
    let (dev, game) = dev().await;
    certificates_fetched(&game).await;
    let alice = game.player("alice").await;
    game.set("pay/callbacks", json!({"keyMode": "certificate"}))
        .await;
    let rotated = game
        .simulator("pay/certificates/rotate", json!({"stage": "switched"}))
        .await;
    let created = alice.order("gems-60", 1, "k").await;
    alice.pay(&created).await;
    let attempts = attempts(&game).await;
    assert_eq!(attempts.len(), 1, "{attempts:?}");
    assert_eq!(attempts[0]["status"], 204, "{attempts:?}");
    assert_eq!(attempts[0]["serial"], rotated.body["signer"], "{rotated:?}");
    assert_eq!(count_by_verdict(&dev, &game, "unknown_serial").await, 1);
    eventually_eq(TIMEOUT, 1, async || alice.owns("gems-60").await).await;

    // From now on the API knows the certificate too.
    let created = alice.order("gems-60", 1, "k2").await;
    alice.pay(&created).await;
    eventually_eq(TIMEOUT, 2, async || alice.owns("gems-60").await).await;
    assert_eq!(count_by_verdict(&dev, &game, "verified").await, 1);
}

#[tokio::test]
async fn probe_is_rejected_and_the_next_callback_grants_once() {
    let (dev, game) = dev().await;
    game.set("pay/callbacks", json!({"signTest": true})).await;
    let alice = game.player("alice").await;
    let created = alice.order("gems-60", 1, "k").await;
    alice.pay(&created).await;
    eventually_eq(TIMEOUT, 1, async || alice.owns("gems-60").await).await;
    let attempts = attempts(&game).await;
    let seen: Vec<_> = attempts
        .iter()
        .map(|it| (it["signature"].as_str().unwrap(), it["status"].clone()))
        .collect();
    assert_eq!(seen, [("signTest", json!(401)), ("right", json!(204))]);
    assert_eq!(count_by_verdict(&dev, &game, "refused").await, 1);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(alice.owns("gems-60").await, 1);
}
