//! Verdicts on held scores.

use avalon_core::social::boards::BoardError;
use jiff::{Timestamp, ToSpan};
use serde_json::json;

use crate::support::fixtures;

#[tokio::test]
async fn released_score_counts_as_of_its_time_and_rejected_never() {
    for fixture in fixtures(json!({"max": 100})).await {
        let players = fixture.players(3).await;
        let now = Timestamp::now();
        fixture
            .score_at(players[0], 150, now - 3.seconds())
            .await
            .unwrap();
        fixture
            .score_at(players[1], 150, now - 2.seconds())
            .await
            .unwrap();
        fixture
            .score_at(players[2], 90, now - 1.seconds())
            .await
            .unwrap();
        fixture.synchronise().await;
        assert_eq!(fixture.top(players[2]).await, [(1, players[2])]);
        let (board, boards) = (&fixture.board, &fixture.boards);
        let held = boards.held(&board.name, None, 10).await.unwrap();
        // In the opposite order, and once each.
        let released = boards
            .judge(board, &held[1].score_id, true, now)
            .await
            .unwrap();
        assert!(released.change.is_some());
        let rejected = boards
            .judge(board, &held[0].score_id, false, now)
            .await
            .unwrap();
        assert!(rejected.change.is_none());
        for id in [&held[0].score_id, &held[1].score_id, &"x".to_owned()] {
            let again = boards.judge(board, id, true, now).await;
            assert!(matches!(again, Err(BoardError::UnknownScore)), "{again:?}");
        }
        let ranks = [(1, players[1]), (2, players[2])];
        assert_eq!(fixture.top(players[2]).await, ranks);
        fixture.assert_equal_to_table(&fixture.window("all")).await;
        assert_eq!(boards.held(&board.name, None, 10).await.unwrap().len(), 0);
        // A rejected score is gone for its player too.
        let page = fixture.page(players[0], Default::default()).await;
        assert_eq!(page.me, None);
    }
}

#[tokio::test]
async fn score_released_twice_at_once_counts_once() {
    for fixture in fixtures(json!({"max": 100, "keep": "sum"})).await {
        let player = fixture.player().await;
        fixture.score(player, 150).await;
        let board = &fixture.board;
        let held = fixture.boards.held(&board.name, None, 10).await.unwrap();
        let (id, now) = (held[0].score_id.clone(), Timestamp::now());
        let verdicts = (0..4).map(|_| fixture.boards.judge(board, &id, true, now));
        let done = futures_util::future::join_all(verdicts).await;
        assert_eq!(done.iter().filter(|it| it.is_ok()).count(), 1);
        assert_eq!(fixture.number("SELECT score FROM scores").await, 150);
    }
}
