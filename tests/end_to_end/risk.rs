//! Orders of players whom WeChat ranks as risky, and of those whose rank is unavailable.

use std::time::{Duration, Instant};

use avalon_test_support::{Avalon, FleetSettings, eventually_eq};
use avalon_tests::{ApiResponse, Game};
use serde_json::json;

/// `avalon dev` with these keys of `risk`.
async fn dev(rules: &[(&str, &str)]) -> (Avalon, Game) {
    let mut command = Avalon::command("dev").env("AVALON_ADMIN__TOKEN", FleetSettings::ADMIN_TOKEN);
    for (key, value) in rules {
        command = command.env(format!("AVALON_RISK__{key}"), *value);
    }
    let dev = command.start().await;
    let game = Game::of(&dev, &dev);
    (dev, game)
}

async fn rank(game: &Game, name: &str, rank: u8) {
    let open_id = game.login(&format!("sim-{name}")).await.body["userInfo"]["openId"].clone();
    let path = format!("players/{}/risk", open_id.as_str().unwrap());
    game.set(&path, json!({ "rank": rank })).await;
}

async fn rank_requests(game: &Game) -> u64 {
    let count = game.ask_simulator("requests/count?api=risk_rank").await;
    count["count"].as_u64().unwrap()
}

fn assert_offered(created: &ApiResponse) {
    assert_eq!(created.status, 200, "{created:?}");
}

#[tokio::test]
async fn risky_player_is_rejected_before_wechat_pay_is_called() {
    let (_dev, game) = dev(&[("ORDERS", "block"), ("BLOCK_FROM_RANK", "3")]).await;
    rank(&game, "mallory", 3).await;
    rank(&game, "alice", 2).await;
    let (mallory, alice) = (game.player("mallory").await, game.player("alice").await);

    let refused = mallory.order("starter-pack", 1, "k1").await;
    refused.assert_problem(403, "RISK_DENIED");
    let orders = mallory.get("/api/wx/orders").await.body;
    assert_eq!(orders["orders"][0]["status"], "failed", "{orders}");
    let submitted = game.ask_simulator("requests/count?api=pay_jsapi").await;
    assert_eq!(submitted["count"], 0);
    // The limit of one per player counts pending orders; the failed one does not count.
    rank(&game, "mallory", 0).await;
    let again = mallory.order("starter-pack", 1, "k2").await;
    again.assert_problem(403, "RISK_DENIED");
    assert_eq!(rank_requests(&game).await, 1, "the rank is cached");

    assert_offered(&alice.order("starter-pack", 1, "k1").await);
    assert_offered(&alice.order("gems-60", 1, "k2").await);
    assert_eq!(rank_requests(&game).await, 2);
    // The same request gets the same response.
    let repeated = mallory.order("starter-pack", 1, "k1").await;
    repeated.assert_problem(403, "RISK_DENIED");
}

#[tokio::test]
async fn rejected_order_releases_its_stock() {
    let (_dev, game) = dev(&[("ORDERS", "block"), ("CACHE", "1ms")]).await;
    rank(&game, "mallory", 4).await;
    let mallory = game.player("mallory").await;
    let stock = async || {
        let products = game.get("/api/wx/products").await.body["products"].clone();
        let products = products.as_array().cloned().unwrap();
        let cup = products.iter().find(|p| p["productId"] == "golden-cup");
        cup.unwrap()["stock"].as_i64().unwrap()
    };
    let before = stock().await;
    let refused = mallory.order("golden-cup", 1, "k1").await;
    refused.assert_problem(403, "RISK_DENIED");
    assert_eq!(stock().await, before);
    rank(&game, "mallory", 0).await;
    eventually_eq(Duration::from_secs(5), 200, async || {
        mallory.order("golden-cup", 1, "k2").await.status.as_u16()
    })
    .await;
    assert_eq!(stock().await, before - 1);
}

#[tokio::test]
async fn observe_mode_counts_risky_players_and_rejects_none() {
    let (dev, game) = dev(&[("ORDERS", "observe")]).await;
    rank(&game, "mallory", 4).await;
    let mallory = game.player("mallory").await;
    assert_offered(&mallory.order("gems-60", 1, "k1").await);
    let counted = async || {
        let metrics = avalon_tests::client()
            .get(format!("{}/metrics", dev.ops))
            .send()
            .await
            .unwrap();
        let metrics = metrics.text().await.unwrap();
        let line = r#"avalon_risk_checks_total{outcome="risky",purpose="order"} 1"#;
        metrics.contains(line)
    };
    eventually_eq(Duration::from_secs(5), true, counted).await;
}

#[tokio::test]
async fn hanging_risk_check_delays_one_order_and_none_in_observe_mode() {
    let hangs = json!({"outage": "hang", "api": "risk_rank"});
    // The WeChat timeout is four seconds.
    let limit = Duration::from_secs(2);
    let (_dev, game) = dev(&[("ORDERS", "observe")]).await;
    let alice = game.player("alice").await;
    game.faults(hangs.clone()).await;
    let started = Instant::now();
    assert_offered(&alice.order("gems-60", 1, "k1").await);
    assert!(started.elapsed() < limit, "{:?}", started.elapsed());

    let (_dev, game) = dev(&[("ORDERS", "block"), ("WHEN_UNAVAILABLE", "allow")]).await;
    let alice = game.player("alice").await;
    game.faults(hangs).await;
    assert_offered(&alice.order("gems-60", 1, "k1").await);
    let started = Instant::now();
    assert_offered(&alice.order("gems-60", 1, "k2").await);
    assert!(started.elapsed() < limit, "{:?}", started.elapsed());
}

#[tokio::test]
async fn order_waits_out_a_short_wechat_outage() {
    let rules = [("ORDERS", "block"), ("WHEN_UNAVAILABLE", "deny")];
    let (_dev, game) = dev(&rules).await;
    let alice = game.player("alice").await;
    game.faults(json!({"outage": "http502", "api": "risk_rank"}))
        .await;
    let recovery = async {
        eventually_eq(Duration::from_secs(10), true, async || {
            rank_requests(&game).await > 0
        })
        .await;
        game.clear_faults().await;
    };
    let (order, ()) = tokio::join!(alice.order("gems-60", 1, "k1"), recovery);
    assert_offered(&order);
}

#[tokio::test]
async fn unavailable_risk_check_follows_the_configuration() {
    for (rule, expected) in [("allow", 200), ("deny", 403)] {
        let (_dev, game) = dev(&[("ORDERS", "block"), ("WHEN_UNAVAILABLE", rule)]).await;
        let alice = game.player("alice").await;
        // No access token; player inactive for two hours; the service down; connection reset.
        for (number, fault) in [
            json!({"errcode": -1, "api": "stable_token"}),
            json!({"errcode": 61010, "api": "risk_rank"}),
            json!({"errcode": 61080, "api": "risk_rank"}),
            json!({"outage": "reset", "api": "risk_rank"}),
        ]
        .into_iter()
        .enumerate()
        {
            game.faults(fault.clone()).await;
            let key = format!("k{number}");
            let response = async || alice.order("gems-60", 1, &key).await.status.as_u16();
            // An order that would be rejected is retried for some seconds first.
            eventually_eq(Duration::from_secs(20), expected, response).await;
        }
    }
}

#[tokio::test]
async fn risk_checks_are_off_by_default() {
    let (_dev, game) = dev(&[]).await;
    rank(&game, "mallory", 4).await;
    let mallory = game.player("mallory").await;
    assert_offered(&mallory.order("gems-60", 1, "k1").await);
    assert_eq!(rank_requests(&game).await, 0);
}
