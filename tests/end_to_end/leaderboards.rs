//! Leaderboards of several processes: a season ends while workers are killed, and Redis is flushed while scores arrive.

use std::time::Duration;

use avalon_test_support::{
    Fleet, FleetSettings, RedisServer, TestDatabase, eventually_eq, shared_redis_url, unique_prefix,
};
use avalon_tests::{Game, send};
use futures_util::future::join_all;
use jiff::{Timestamp, ToSpan};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

const TIMEOUT: Duration = Duration::from_secs(60);
const PLAYERS: usize = 12;

async fn put(game: &Game, fleet: &Fleet, board: &str, settings: Value) {
    let url = format!("{}/admin/boards/{board}", fleet.apis[0].ops);
    let request = game.client.put(url).bearer_auth(FleetSettings::ADMIN_TOKEN);
    let response = send(request.json(&settings)).await;
    assert_eq!(response.status, 200, "{response:?}");
}

async fn count(database: &TestDatabase, sql: &'static str) -> i64 {
    let mut connection = PgConnection::connect(database.url()).await.unwrap();
    sqlx::query_scalar(sql)
        .fetch_one(&mut connection)
        .await
        .unwrap()
}

#[tokio::test]
async fn season_ends_once_while_workers_are_killed_and_scores_arrive() {
    let database = TestDatabase::postgres().await;
    let settings = FleetSettings::new(database.url(), &shared_redis_url().await)
        .env("AVALON_REDIS__KEY_PREFIX", unique_prefix())
        .env("AVALON_QUEUE__LEASE_TIMEOUT", "2s");
    let mut fleet = settings.start(2, 2).await;
    fleet.expect_leftover("maintenance");
    let games = [0, 1].map(|api| Game::of(&fleet.apis[api], &fleet.simulator));
    games[0].sell(&fleet.apis[0], "gold", 1).await;
    let end = Timestamp::now() + 10.seconds();
    let season = json!({
        "window": "season", "keep": "last", "grace": "1s", "perMinute": 100_000,
        "seasons": [
            {"name": "s1", "from": "2020-01-01", "to": end.to_string()},
            {"name": "s2", "from": end.to_string(), "to": "2999-01-01"},
        ],
        "prizes": [{"percent": 100.0, "items": [{"productId": "gold", "quantity": 1}]}],
    });
    put(&games[0], &fleet, "cup", season).await;
    // The other API reads it within seconds.
    let names: Vec<String> = (0..PLAYERS).map(|n| format!("player-{n}")).collect();
    let players = join_all(
        names
            .iter()
            .enumerate()
            .map(|(n, name)| games[n % 2].player(name)),
    );
    let players = players.await;
    let first = join_all(players.iter().map(|player| async move {
        let body = json!({"board": "cup", "score": 1});
        loop {
            let response = player.post("/api/wx/score", "first", body.clone()).await;
            if response.status == 200 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }));
    first.await;
    // Scores until well after the end, half of them with runs of the season.
    let plays = players.iter().enumerate().map(|(n, player)| async move {
        let mut accepted = 0;
        for score in 2.. {
            if Timestamp::now() > end + 6.seconds() {
                return accepted;
            }
            let mut body = json!({"board": "cup", "score": score});
            if n % 2 == 0 {
                let run = player
                    .post("/api/wx/score/run", "r", json!({"board": "cup"}))
                    .await;
                assert_eq!(run.status, 200, "{run:?}");
                body["runId"] = run.body["runId"].clone();
            }
            let response = player
                .post("/api/wx/score", &format!("s{score}"), body)
                .await;
            assert_eq!(response.status, 200, "{response:?}");
            accepted += 1;
        }
        accepted
    });
    let kills = async {
        let until = end + 1.seconds();
        let wait = until.duration_since(Timestamp::now()).unsigned_abs();
        tokio::time::sleep(wait).await;
        for victim in [0, 1, 0] {
            fleet.workers[victim].kill9();
            fleet.workers[victim].restart().await;
        }
    };
    let (accepted, ()) = tokio::join!(join_all(plays), kills);
    assert!(accepted.iter().all(|count| *count > 0), "{accepted:?}");
    let state = "SELECT count(*) FROM board_windows WHERE window_key = 's1' AND state = 'ended'";
    eventually_eq(TIMEOUT, 1, async || count(&database, state).await).await;
    let players = i64::try_from(PLAYERS).unwrap();
    for (sql, expected) in [
        ("SELECT count(*) FROM board_archive", players),
        (
            "SELECT count(DISTINCT rank) FROM board_archive WHERE rank <= 12",
            players,
        ),
        ("SELECT count(*) FROM rewards", players),
        (
            "SELECT CAST(sum(quantity) AS BIGINT) FROM inventory",
            players,
        ),
        ("SELECT count(*) FROM scores WHERE window_key = 's1'", 0),
        (
            "SELECT count(*) FROM scores WHERE window_key = 's2'",
            players,
        ),
    ] {
        assert_eq!(count(&database, sql).await, expected, "{sql}");
    }
}

#[tokio::test]
async fn flushed_redis_ranks_like_the_database_again_without_an_operator() {
    let database = TestDatabase::postgres().await;
    let redis = RedisServer::start().await;
    let settings = FleetSettings::new(database.url(), &redis.url()).allow_leftovers();
    let fleet = settings.start(2, 0).await;
    let games = [0, 1].map(|api| Game::of(&fleet.apis[api], &fleet.simulator));
    let workers = fleet.settings.command("workers").start().await;
    let names: Vec<String> = (0..PLAYERS).map(|n| format!("player-{n}")).collect();
    let players = join_all(
        names
            .iter()
            .enumerate()
            .map(|(n, name)| games[n % 2].player(name)),
    );
    let players = players.await;
    drop(workers);
    // Sessions are in Redis too: scores come from the game server.
    put(&games[0], &fleet, "score", json!({"keep": "last"})).await;
    let mut connection = PgConnection::connect(database.url()).await.unwrap();
    let users: Vec<String> = sqlx::query_scalar("SELECT id FROM users ORDER BY id")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    assert_eq!(users.len(), players.len());
    let end = Timestamp::now() + 6.seconds();
    let writers = users.iter().enumerate().map(|(n, user)| {
        let (game, ops) = (&games[n % 2], &fleet.apis[n % 2].ops);
        async move {
            while Timestamp::now() < end {
                let body = json!({"board": "score", "userId": user, "score": fastrand::i64(0..5)});
                let report = game.client.post(format!("{ops}/internal/scores"));
                let report = report.bearer_auth(FleetSettings::ADMIN_TOKEN).json(&body);
                assert_eq!(send(report).await.status, 200);
            }
        }
    });
    let flushes = async {
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_millis(1500)).await;
            redis.flush().await;
        }
    };
    tokio::join!(join_all(writers), flushes);
    let check = async || {
        let check = fleet.settings.command("boards").arg("check").arg("--json");
        let check = check.run().await;
        let found: Value = serde_json::from_slice(&check.stdout).unwrap_or_default();
        (check.status.success(), found[0]["compared"].clone())
    };
    eventually_eq(TIMEOUT, (true, json!(PLAYERS)), check).await;
    // The ranks that both APIs return are those of one query.
    let truth: Vec<String> = sqlx::query_scalar(
        "SELECT user_id FROM scores WHERE hidden = 0 ORDER BY sort_key, reached_at, user_id",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    for api in &fleet.apis {
        let lookup = games[0]
            .client
            .post(format!("{}/admin/boards/score/lookup", api.ops));
        let lookup = lookup.bearer_auth(FleetSettings::ADMIN_TOKEN);
        let found = send(lookup.json(&json!({"userIds": users}))).await;
        let entries = found.body["entries"].as_array().unwrap();
        let ranked: Vec<&str> = entries
            .iter()
            .map(|it| it["userId"].as_str().unwrap())
            .collect();
        assert_eq!(ranked, truth);
    }
}
