//! Scores of WeChat's friends ranking: written while their window is current, removed when it has ended.

use std::sync::Arc;

use avalon_core::base::ids::UserId;
use avalon_core::social::boards::NewScore;
use avalon_core::social::hosted;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::support::{Fixture, at, fixtures, new};

/// Noon in Beijing, and what follows.
const NOON: &str = "2026-11-29T04:00:00Z";
const NEXT_DAY: &str = "2026-11-29T16:05:00Z";
const DUE: &str = "2026-11-29T16:10:00Z";

fn daily() -> Value {
    json!({"window": "day", "grace": "10m", "hostedKey": "daily"})
}

/// What is to be written for a player: the key and the score; none: to be removed.
async fn unwritten(fixture: &Fixture, user: UserId, now: Timestamp) -> Vec<(String, Option<i64>)> {
    let claim = hosted::claim(&fixture.database, user, now).await.unwrap();
    let Some(claim) = claim else {
        return Vec::new();
    };
    let intents = hosted::unwritten(&fixture.database, &claim).await.unwrap();
    hosted::written(&fixture.database, &claim, &intents, now)
        .await
        .unwrap();
    let pairs = intents.into_iter().map(|intent| (intent.key, intent.score));
    pairs.collect()
}

fn daily_is(score: Option<i64>) -> Vec<(String, Option<i64>)> {
    vec![("daily".to_owned(), score)]
}

#[tokio::test]
async fn scores_of_an_ended_window_are_removed_from_the_ranking() {
    for fixture in fixtures(daily()).await {
        // More than a batch.
        let players = fixture.players(1100).await;
        for player in &players {
            fixture.score_at(*player, 7, at(NOON)).await.unwrap();
        }
        let (first, renewed) = (players[0], players[1]);
        let later = at(NEXT_DAY);
        assert_eq!(unwritten(&fixture, first, later).await, daily_is(Some(7)));
        fixture.score_at(renewed, 3, later).await.unwrap();

        assert_eq!(fixture.boards.end_due(at(DUE)).await.unwrap().ended, 1);
        let removed = "SELECT count(*) FROM hosted_scores WHERE score IS NULL";
        assert_eq!(fixture.number(removed).await, 1099);
        let now = at("2026-11-29T16:20:00Z");
        assert_eq!(unwritten(&fixture, first, now).await, daily_is(None));
        // The player's score of the new day stays.
        assert_eq!(unwritten(&fixture, renewed, now).await, daily_is(Some(3)));
        // Once: nothing is due afterwards.
        assert_eq!(fixture.boards.end_due(now).await.unwrap().ended, 0);
        assert_eq!(unwritten(&fixture, first, now).await, []);

        // The next day ends for the one who played it.
        let next = at("2026-11-30T16:10:00Z");
        assert_eq!(fixture.boards.end_due(next).await.unwrap().ended, 1);
        let now = at("2026-11-30T16:20:00Z");
        assert_eq!(unwritten(&fixture, renewed, now).await, daily_is(None));
        assert_eq!(unwritten(&fixture, first, now).await, []);
    }
}

#[tokio::test]
async fn late_score_does_not_replace_that_of_the_current_window() {
    for fixture in fixtures(daily()).await {
        let player = fixture.player().await;
        let run = fixture
            .boards
            .open_run(&fixture.board, player, at("2026-11-29T15:59:00Z"))
            .await
            .unwrap();
        fixture.score_at(player, 3, at(NEXT_DAY)).await.unwrap();
        let late = NewScore {
            run: Some(run.id),
            ..new(player, 900)
        };
        let board = Arc::clone(&fixture.board);
        let late = fixture
            .boards
            .submit(&board, late, at("2026-11-29T16:06:00Z"));
        assert_eq!(late.await.unwrap().best, 900);
        let now = at("2026-11-29T16:07:00Z");
        assert_eq!(unwritten(&fixture, player, now).await, daily_is(Some(3)));
        // Its window's end removes nothing either.
        fixture.boards.end_due(at(DUE)).await.unwrap();
        let now = at("2026-11-29T16:20:00Z");
        assert_eq!(unwritten(&fixture, player, now).await, []);
    }
}

#[tokio::test]
async fn key_is_that_of_the_settings_when_the_window_ended() {
    use avalon_core::social::boards::Board;
    let prize = json!({"window": "day", "hostedKey": "daily",
        "prizes": [{"to": 1, "items": [{"productId": "gold", "quantity": 1}]}]});
    for fixture in fixtures(prize).await {
        let player = fixture.player().await;
        fixture.score_at(player, 7, at(NOON)).await.unwrap();
        // The product does not exist: archived, but not ended.
        assert!(fixture.boards.end_due(at(DUE)).await.is_err());
        let without = serde_json::from_value(json!({"window": "day"})).unwrap();
        let without = Board::new(fixture.board.name.clone(), without).unwrap();
        let definitions = fixture.boards.definitions();
        definitions.put(&without, at(DUE)).await.unwrap();
        sqlx::query(
            "INSERT INTO products (id, name, price, active, created_at, updated_at)
             VALUES ('gold', 'gold', 1, 1, 0, 0)",
        )
        .execute(fixture.database.pool())
        .await
        .unwrap();
        assert_eq!(fixture.boards.end_due(at(DUE)).await.unwrap().ended, 1);
        let now = at("2026-11-29T16:20:00Z");
        assert_eq!(unwritten(&fixture, player, now).await, daily_is(None));
    }
}

#[tokio::test]
async fn removals_and_scores_at_once_leave_the_newest() {
    for fixture in fixtures(daily()).await {
        let fixture = Arc::new(fixture);
        let players = fixture.players(40).await;
        for player in &players {
            fixture.score_at(*player, 7, at(NOON)).await.unwrap();
        }
        let writing = tokio::spawn({
            let (fixture, players) = (Arc::clone(&fixture), players.clone());
            async move {
                for player in players.iter().step_by(2) {
                    fixture.score_at(*player, 3, at(DUE)).await.unwrap();
                }
            }
        });
        let others = [fixture.another_process(), fixture.another_process()];
        let ends = others.iter().map(|boards| async {
            while let Err(error) = boards.end_due(at(DUE)).await {
                assert!(error.is_transient(), "{error}");
            }
        });
        futures_util::future::join_all(ends).await;
        writing.await.unwrap();
        let now = at("2026-11-29T16:20:00Z");
        for (n, player) in players.iter().enumerate() {
            let newest = if n % 2 == 0 { Some(3) } else { None };
            let found = unwritten(&fixture, *player, now).await;
            assert_eq!(found, daily_is(newest), "player {n}");
        }
    }
}

#[tokio::test]
async fn removals_are_spread_and_newer_scores_do_not_wait() {
    for fixture in fixtures(daily()).await {
        let mut players = fixture.players(1100).await;
        players.sort_unstable();
        for player in &players {
            fixture.score_at(*player, 7, at(NOON)).await.unwrap();
        }
        for written in [
            "UPDATE hosted_players SET due_at = NULL",
            "UPDATE hosted_scores SET written = revision",
        ] {
            let pool = fixture.database.pool();
            sqlx::query(written).execute(pool).await.unwrap();
        }
        fixture.boards.end_due(at(DUE)).await.unwrap();
        let due = async |now: Timestamp| {
            let due = hosted::due(&fixture.database, now, 5000).await;
            due.unwrap()
        };
        let soon = at("2026-11-29T16:10:05Z");
        assert_eq!(due(soon).await.len(), 1000);
        let (parked, last) = (players[1098], players[1099]);
        let park = "UPDATE hosted_players SET parked_version = 1 WHERE user_id = $1";
        let park = sqlx::query(park).bind(parked);
        park.execute(fixture.database.pool()).await.unwrap();
        for player in [parked, last] {
            fixture.score_at(player, 3, at(DUE)).await.unwrap();
        }
        let now_due = due(soon).await;
        assert!(now_due.contains(&last), "a newer score is written at once");
        assert!(!now_due.contains(&parked), "unless its player is parked");
        assert_eq!(due(at("2026-11-29T16:10:22Z")).await.len(), 1100);
        assert_eq!(unwritten(&fixture, last, soon).await, daily_is(Some(3)));
    }
}
