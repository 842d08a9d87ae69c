//! An index that is lost, or misses changes, becomes equal to the table again without an operator.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use avalon_core::social::boards::Query;
use jiff::{Timestamp, ToSpan};

use crate::support::{fixtures, new, plain};

#[tokio::test]
async fn lost_index_is_built_again_while_scores_arrive() {
    for fixture in fixtures(plain()).await {
        let fixture = Arc::new(fixture);
        let players = fixture.players(80).await;
        for player in &players {
            fixture.score(*player, fastrand::i64(0..10)).await;
        }
        fixture.synchronise().await;
        let window = fixture.window("all");
        fixture.assert_equal_to_table(&window).await;
        let done = Arc::new(AtomicBool::new(false));
        let writers = (0..4).map(|_| {
            let (fixture, done) = (Arc::clone(&fixture), Arc::clone(&done));
            let players = players.clone();
            tokio::spawn(async move {
                let mut written = 0;
                while !done.load(Ordering::SeqCst) {
                    let player = players[fastrand::usize(..players.len())];
                    fixture.score(player, fastrand::i64(0..1000)).await;
                    written += 1;
                }
                written
            })
        });
        let writers: Vec<_> = writers.collect();
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            fixture.flush(&window).await;
            // Read from the table at once: every player is there.
            assert_eq!(fixture.top(players[0]).await.len(), 80);
            fixture.synchronise().await;
        }
        done.store(true, Ordering::SeqCst);
        for writer in writers {
            assert!(writer.await.unwrap() > 0);
        }
        fixture.boards.synchronise(Timestamp::now()).await.unwrap();
        assert_eq!(fixture.assert_equal_to_table(&window).await, 80);
        let check = fixture.boards.check_all(&window).await.unwrap();
        assert_eq!((check.compared, check.differences), (80, 0));
    }
}

#[tokio::test]
async fn change_that_a_killed_process_did_not_apply_is_applied() {
    for fixture in fixtures(plain()).await {
        let players = fixture.players(3).await;
        for player in &players {
            fixture.score(*player, 1).await;
        }
        fixture.synchronise().await;
        let window = fixture.window("all");
        // As a process that was killed between commit and index.
        sqlx::query(
            "UPDATE scores SET score = 9, sort_key = -9, version = version + 1, changed_at = $1
             WHERE user_id = $2",
        )
        .bind(Timestamp::now().as_millisecond())
        .bind(players[2])
        .execute(fixture.database.pool())
        .await
        .unwrap();
        let check = fixture.boards.check_all(&window).await.unwrap();
        assert!(check.differences > 0, "{check:?}");
        let stored = fixture.number("SELECT differences FROM board_checks");
        assert!(stored.await > 0);
        fixture.boards.synchronise(Timestamp::now()).await.unwrap();
        fixture.assert_equal_to_table(&window).await;
        let check = fixture.boards.check_all(&window).await.unwrap();
        assert_eq!(check.differences, 0);
        assert_eq!(
            fixture.number("SELECT differences FROM board_checks").await,
            0
        );
    }
}

#[tokio::test]
async fn older_version_does_not_replace_a_newer_one() {
    use avalon_core::social::boards::{Change, Position};
    for fixture in fixtures(plain()).await {
        let players = fixture.players(2).await;
        for player in &players {
            fixture.score(*player, 5).await;
        }
        fixture.score(players[1], 6).await;
        fixture.synchronise().await;
        let window = fixture.window("all");
        let late = Change {
            position: Position {
                sort_key: -100,
                reached_at: 1,
                user: players[1],
            },
            ranked: true,
            version: 1,
        };
        fixture.index.apply(&window, &[late, late]).await.unwrap();
        fixture.assert_equal_to_table(&window).await;
    }
}

#[tokio::test]
async fn index_that_lags_is_not_read() {
    for fixture in fixtures(plain()).await {
        let player = fixture.player().await;
        fixture.score(player, 5).await;
        fixture.synchronise().await;
        let window = fixture.window("all");
        let long_ago = Timestamp::now() - 60.seconds();
        fixture
            .index
            .set_mark(&window, long_ago, false)
            .await
            .unwrap();
        // Unlike the table, so that it shows where the answer is from.
        sqlx::query("UPDATE scores SET score = 7, sort_key = -7")
            .execute(fixture.database.pool())
            .await
            .unwrap();
        let page = fixture.page(player, Query::default()).await;
        assert_eq!(page.entries[0].score, 7);
        // Within the time for which changes are read again, a mark is renewed; then it is built anew.
        fixture.boards.synchronise(Timestamp::now()).await.unwrap();
        let mark = fixture.index.mark(&window).await.unwrap().unwrap();
        assert!(mark > long_ago);
    }
}

#[tokio::test]
async fn one_process_keeps_the_index_current() {
    for fixture in fixtures(plain()).await {
        let player = fixture.player().await;
        fixture.score(player, 5).await;
        fixture.synchronise().await;
        if fixture.redis.is_none() {
            continue;
        }
        let window = fixture.window("all");
        let other = fixture.another_process();
        let before = fixture.index.mark(&window).await.unwrap();
        other.synchronise(Timestamp::now()).await.unwrap();
        assert_eq!(fixture.index.mark(&window).await.unwrap(), before);
        // Its scores are in the index nevertheless.
        let board = Arc::clone(&fixture.board);
        other
            .submit(&board, new(player, 8), Timestamp::now())
            .await
            .unwrap();
        fixture.assert_equal_to_table(&window).await;
    }
}
