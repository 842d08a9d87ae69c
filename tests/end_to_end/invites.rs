//! Invitations across processes: several APIs and workers, some of them killed.

use std::time::Duration;

use avalon_test_support::{
    FleetSettings, TestDatabase, eventually_eq, shared_redis_url, unique_prefix,
};
use avalon_tests::{Game, send};
use futures_util::future::join_all;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection, Row};

const TIMEOUT: Duration = Duration::from_secs(60);
const PLAYERS: usize = 20;

async fn login(game: &Game, code: &str, invitation: Value) -> Value {
    let mut body = json!({"code": code, "deviceId": code});
    for (key, value) in invitation.as_object().unwrap() {
        body[key] = value.clone();
    }
    send(game.client.post(game.url("/api/wx/login")).json(&body))
        .await
        .body
}

#[tokio::test]
async fn racing_sign_ins_with_killed_workers_reward_once() {
    let database = TestDatabase::postgres().await;
    let invites = json!({
        "milestone": {"event": "level_5"},
        "inviter": [{"productId": "gems-60", "quantity": 1}],
        "invited": [{"productId": "gems-60", "quantity": 1}],
        "budget": 15,
    });
    let scenes = json!({"invite": {"title": "Play", "imageUrl": "images/a.png"}});
    let settings = FleetSettings::new(database.url(), &shared_redis_url().await)
        .env("AVALON_REDIS__KEY_PREFIX", unique_prefix())
        .env("AVALON_QUEUE__LEASE_TIMEOUT", "2s")
        .env("AVALON_SOCIAL__INVITES", invites.to_string())
        .env("AVALON_SOCIAL__SHARES", scenes.to_string());
    // What the killed worker was running may not be leased again yet.
    settings.expect_leftover("maintenance");
    let mut fleet = settings.start(2, 2).await;
    let games = [0, 1].map(|n| Game::of(&fleet.apis[n], &fleet.simulator));
    games[0].sell(&fleet.apis[0], "gems-60", 600).await;
    let mut cards = Vec::new();
    for name in ["alice", "bob"] {
        let player = games[0].player(name).await;
        let card = player
            .post("/api/wx/share", "unused", json!({"scene": "invite"}))
            .await;
        assert_eq!(card.status, 200, "{card:?}");
        cards.push(card.body);
    }

    // Each new player signs in four times at once, with both inviters, at both APIs.
    let mut attempts = Vec::new();
    for player in 0..PLAYERS {
        for n in 0..4 {
            let game = &games[n % 2];
            let code = game.mint_code(&format!("new{player}")).await;
            let invitation = match n / 2 {
                0 => json!({"shareId": cards[n % 2]["shareId"]}),
                _ => json!({"inviteCode": cards[n % 2]["inviteCode"]}),
            };
            attempts.push(async move { login(game, &code, invitation).await });
        }
    }
    join_all(attempts).await;
    let mut connection = PgConnection::connect(database.url()).await.unwrap();
    let rows = sqlx::query("SELECT user_id FROM invites").fetch_all(&mut connection);
    let players: Vec<String> = rows.await.unwrap().iter().map(|row| row.get(0)).collect();
    assert_eq!(players.len(), PLAYERS, "one attribution each");

    // The milestones are reported twice, while a worker is killed.
    let url = format!("{}/internal/milestones", fleet.apis[0].ops);
    for round in 0..2 {
        for player in &players {
            let body = json!({"userId": player, "milestone": "level_5"});
            let request = games[0].client.post(&url).json(&body);
            let reached = send(request.bearer_auth(FleetSettings::ADMIN_TOKEN)).await;
            assert_eq!(reached.status, 200, "{reached:?}");
        }
        if round == 0 {
            fleet.workers[0].kill9();
        }
    }
    let count = async |sql: &'static str| {
        let mut connection = PgConnection::connect(database.url()).await.unwrap();
        let count: i64 = sqlx::query_scalar(sql)
            .fetch_one(&mut connection)
            .await
            .unwrap();
        count
    };
    eventually_eq(TIMEOUT, 0, async || {
        count("SELECT count(*) FROM invites WHERE state IN ('invited', 'reached')").await
    })
    .await;
    for (sql, expected) in [
        ("SELECT count(*) FROM invites WHERE state = 'rewarded'", 15),
        ("SELECT count(*) FROM invites WHERE state = 'exhausted'", 5),
        ("SELECT max(number) FROM invites", 15),
        ("SELECT count(*) FROM rewards", 30),
        ("SELECT CAST(sum(quantity) AS BIGINT) FROM inventory", 30),
    ] {
        assert_eq!(count(sql).await, expected, "{sql}");
    }
}
