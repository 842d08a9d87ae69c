//! Runs, and scores that are not plausible.

use avalon_core::social::boards::{BoardError, NewScore, Query, ScoreAnswer};
use jiff::{Timestamp, ToSpan};
use serde_json::json;

use crate::support::{Fixture, fixtures, new};

async fn score_with_run(
    fixture: &Fixture,
    user: avalon_core::base::ids::UserId,
    score: i64,
    run: &str,
    now: Timestamp,
) -> Result<ScoreAnswer, BoardError> {
    let score = NewScore {
        run: Some(run.to_owned()),
        ..new(user, score)
    };
    fixture.boards.submit(&fixture.board, score, now).await
}

#[tokio::test]
async fn run_is_used_once_by_its_player() {
    for fixture in fixtures(json!({"runs": "required"})).await {
        let players = fixture.players(2).await;
        let (board, boards, now) = (&fixture.board, &fixture.boards, Timestamp::now());
        let without = fixture.score_at(players[0], 5, now).await;
        assert!(
            matches!(without, Err(BoardError::RunMissing)),
            "{without:?}"
        );
        let run = boards.open_run(board, players[0], now).await.unwrap();
        assert_eq!(run.expires, now + 1.hour());
        // Of another player, forged, expired: like none at all.
        for (player, id, at) in [
            (1, run.id.as_str(), now),
            (0, "01JZ5N4V7W8X9YABCDEFGHJKMN", now),
            (0, "x", now),
            (0, run.id.as_str(), run.expires),
        ] {
            let refused = score_with_run(&fixture, players[player], 5, id, at).await;
            assert!(
                matches!(refused, Err(BoardError::UnknownRun)),
                "{refused:?}"
            );
        }
        let first = score_with_run(&fixture, players[0], 5, &run.id, now)
            .await
            .unwrap();
        assert_eq!((first.accepted, first.best), (true, 5));
        // The answer was lost, and the request is repeated; another score is refused.
        let again = score_with_run(&fixture, players[0], 5, &run.id, now)
            .await
            .unwrap();
        assert_eq!(again, first);
        let other = score_with_run(&fixture, players[0], 6, &run.id, now).await;
        assert!(matches!(other, Err(BoardError::UnknownRun)), "{other:?}");
    }
}

#[tokio::test]
async fn concurrent_scores_use_a_run_once() {
    for fixture in fixtures(json!({"runs": "required", "keep": "sum"})).await {
        let player = fixture.player().await;
        let now = Timestamp::now();
        let run = fixture
            .boards
            .open_run(&fixture.board, player, now)
            .await
            .unwrap();
        let scores = (1..=10).map(|score| score_with_run(&fixture, player, score, &run.id, now));
        let done = futures_util::future::join_all(scores).await;
        assert_eq!(done.iter().filter(|it| it.is_ok()).count(), 1);
        assert_eq!(fixture.number("SELECT count(*) FROM scores").await, 1);
        assert_eq!(fixture.number("SELECT version FROM scores").await, 1);
    }
}

#[tokio::test]
async fn implausible_scores_are_held_and_answered_like_any_other() {
    let settings =
        json!({"runs": "required", "maxRate": 10.0, "min": 0, "max": 1000, "maxStep": 300});
    for fixture in fixtures(settings).await {
        let players = fixture.players(2).await;
        let (board, boards, now) = (&fixture.board, &fixture.boards, Timestamp::now());
        let begun = now - 60.seconds();
        let play = async |player: usize, score: i64, seconds: i64| {
            let user = players[player];
            let run = boards.open_run(board, user, begun).await.unwrap();
            let at = begun + seconds.seconds();
            score_with_run(&fixture, user, score, &run.id, at)
                .await
                .unwrap()
        };
        assert_eq!(play(0, 100, 10).await.best, 100);
        assert_eq!(play(1, 200, 30).await.rank, 1);
        for (score, seconds, reason) in [(250, 10, "rate"), (450, 50, "step"), (1001, 60, "range")]
        {
            let answer = play(0, score, seconds).await;
            assert!(answer.accepted, "{reason}");
            assert_eq!((answer.best, answer.rank), (score, 1), "{reason}");
        }
        let held = boards.held(&board.name, None, 10).await.unwrap();
        let reasons: Vec<&str> = held.iter().map(|it| it.reason.as_str()).collect();
        assert_eq!(reasons, ["rate", "step", "range"]);
        // Others do not see it, and the player does.
        assert_eq!(fixture.top(players[1]).await[0], (1, players[1]));
        let own = fixture.page(
            players[0],
            Query {
                limit: 10,
                ..Query::default()
            },
        );
        let own = own.await;
        let me = own.me.unwrap();
        assert_eq!((me.rank, me.score), (1, 1001));
        let other = fixture.page(players[1], Query::default()).await.me.unwrap();
        assert_eq!((other.rank, other.score), (1, 200));
    }
}

#[tokio::test]
async fn game_server_needs_no_run_and_is_trusted() {
    for fixture in fixtures(json!({"runs": "required", "max": 10})).await {
        let player = fixture.player().await;
        let score = NewScore {
            trusted: true,
            ..new(player, 99)
        };
        let now = Timestamp::now();
        let answer = fixture
            .boards
            .submit(&fixture.board, score, now)
            .await
            .unwrap();
        assert_eq!((answer.accepted, answer.best), (true, 99));
        assert_eq!(fixture.number("SELECT count(*) FROM held_scores").await, 0);
    }
}

#[tokio::test]
async fn scores_of_a_player_per_minute_are_counted() {
    for fixture in fixtures(json!({"perMinute": 3})).await {
        let players = fixture.players(2).await;
        let now: Timestamp = "2026-11-29T12:00:01Z".parse().unwrap();
        let may = async |player: usize, now| {
            fixture
                .boards
                .may_report(&fixture.board, players[player], now)
                .await
        };
        let mut allowed = Vec::new();
        for _ in 0..5 {
            allowed.push(may(0, now).await);
        }
        assert_eq!(allowed, [true, true, true, false, false]);
        assert!(may(1, now).await);
        assert!(may(0, now + 60.seconds()).await);
    }
}
