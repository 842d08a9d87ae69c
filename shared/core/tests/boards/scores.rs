//! What a score changes.

use avalon_core::social::boards::{BoardError, MAX_SCORE, NewScore};
use jiff::Timestamp;
use serde_json::json;

use crate::support::{fixtures, new, plain};

#[tokio::test]
async fn score_that_does_not_improve_changes_nothing() {
    for fixture in fixtures(plain()).await {
        let player = fixture.player().await;
        assert!(fixture.score(player, 10).await.accepted);
        let row = "SELECT version + reached_at FROM scores";
        let before = fixture.number(row).await;
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        for score in [10, 9, -1] {
            let answer = fixture.score(player, score).await;
            assert!(!answer.accepted, "{score}");
            assert_eq!((answer.best, answer.rank), (10, 1));
        }
        assert_eq!(fixture.number(row).await, before);
        let better = fixture.score(player, 11).await;
        assert_eq!((better.accepted, better.best), (true, 11));
    }
}

#[tokio::test]
async fn board_keeps_the_lowest_the_last_or_the_sum() {
    for (settings, scores, best) in [
        (json!({"order": "asc"}), [5, 7, 3], 3),
        (json!({"keep": "last"}), [5, 7, 3], 3),
        (json!({"keep": "sum"}), [5, 7, 3], 15),
        (json!({"keep": "sum", "order": "asc"}), [5, -7, 3], 1),
    ] {
        for fixture in fixtures(settings.clone()).await {
            let player = fixture.player().await;
            let mut answer = None;
            for score in scores {
                answer = Some(fixture.score(player, score).await);
            }
            assert_eq!(answer.unwrap().best, best, "{settings}");
        }
    }
}

#[tokio::test]
async fn largest_scores_are_exact_and_larger_ones_refused() {
    for fixture in fixtures(json!({"keep": "sum"})).await {
        let players = fixture.players(4).await;
        let scores = [MAX_SCORE, MAX_SCORE - 1, -MAX_SCORE + 1, -MAX_SCORE];
        for (player, score) in players.iter().zip(scores) {
            assert_eq!(fixture.score(*player, score).await.best, score);
        }
        fixture.synchronise().await;
        let window = fixture.window("all");
        assert_eq!(fixture.assert_equal_to_table(&window).await, 4);
        let page = fixture.page(
            players[3],
            avalon_core::social::boards::Query {
                limit: 10,
                ..Default::default()
            },
        );
        let page = page.await;
        let seen: Vec<i64> = page.entries.iter().map(|entry| entry.score).collect();
        assert_eq!(seen, scores);
        assert_eq!(page.me.unwrap().score, -MAX_SCORE);
        // The sum would not fit; nothing is changed.
        for (player, score) in [(0, 1), (3, -1), (0, MAX_SCORE + 1)] {
            let stored = fixture
                .score_at(players[player], score, Timestamp::now())
                .await;
            assert!(matches!(stored, Err(BoardError::OutOfRange)), "{stored:?}");
        }
        assert_eq!(fixture.assert_equal_to_table(&window).await, 4);
    }
}

#[tokio::test]
async fn repeated_request_is_added_once() {
    for fixture in fixtures(json!({"keep": "sum"})).await {
        let player = fixture.player().await;
        for key in ["a", "a", "b", "a"] {
            let score = NewScore {
                key: Some(key.to_owned()),
                ..new(player, 5)
            };
            let now = Timestamp::now();
            fixture
                .boards
                .submit(&fixture.board, score, now)
                .await
                .unwrap();
        }
        assert_eq!(fixture.number("SELECT score FROM scores").await, 10);
    }
}

#[tokio::test]
async fn concurrent_scores_of_a_player_are_all_added() {
    for fixture in fixtures(json!({"keep": "sum"})).await {
        let player = fixture.player().await;
        let scores = (1..=20).map(|score| fixture.score(player, score));
        futures_util::future::join_all(scores).await;
        assert_eq!(fixture.number("SELECT score FROM scores").await, 210);
        fixture.synchronise().await;
        fixture.assert_equal_to_table(&fixture.window("all")).await;
    }
}

#[tokio::test]
async fn unknown_player_has_no_score() {
    for fixture in fixtures(plain()).await {
        let stranger = avalon_core::base::ids::UserId::new();
        let stored = fixture.score_at(stranger, 1, Timestamp::now()).await;
        assert!(
            matches!(stored, Err(BoardError::UnknownPlayer)),
            "{stored:?}"
        );
    }
}
