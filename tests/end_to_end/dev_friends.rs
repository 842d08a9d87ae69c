//! The friends of `avalon dev`: on the default board and in WeChat's ranking.

use std::time::Duration;

use avalon_test_support::{Avalon, eventually_eq};
use avalon_tests::Game;
use serde_json::{Value, json};

/// Nicknames and scores of the default board, in their order.
async fn ranking(game: &Game, name: &str) -> Vec<(Value, Value)> {
    let page = game
        .player(name)
        .await
        .get("/api/wx/leaderboard/score")
        .await;
    assert_eq!(page.status, 200, "{page:?}");
    let entries = page.body["entries"].as_array().unwrap().iter();
    entries
        .map(|entry| (entry["nickname"].clone(), entry["score"].clone()))
        .collect()
}

#[tokio::test]
async fn dev_has_friends_to_compete_with() {
    let mut dev = Avalon::command("dev").start().await;
    let game = Game::of(&dev, &dev);
    let friends = [
        (json!("Mei"), json!(23)),
        (json!("Tao"), json!(16)),
        (json!("Lan"), json!(9)),
    ];
    assert_eq!(ranking(&game, "alice").await, friends);
    let alice = game.player("alice").await;
    let score = json!({"board": "score", "score": 20});
    let scored = alice.post("/api/wx/score", "k", score).await;
    assert_eq!(scored.body["rank"], 2, "{scored:?}");
    let code = game.simulator("codes", json!({"name": "alice"})).await;
    let open_id = code.body["openid"].as_str().unwrap().to_owned();
    // WeChat's ranking has the friends, and then the player.
    let path = format!("players/{open_id}/friends/storage");
    eventually_eq(Duration::from_secs(30), 4, async || {
        let hosted = game.ask_simulator(&path).await;
        hosted["data"].as_array().unwrap().len()
    })
    .await;

    // A start with players adds none.
    dev.terminate();
    dev.wait_exit().await;
    dev.restart().await;
    assert_eq!(ranking(&Game::of(&dev, &dev), "bob").await.len(), 4);
}
