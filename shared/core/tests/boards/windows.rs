//! The end of windows: archive, prizes, late scores.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use avalon_core::base::ids::UserId;
use avalon_core::social::boards::{BoardError, Ended, NewScore, Query};
use avalon_core::social::rewards;
use jiff::{Timestamp, ToSpan};
use serde_json::{Value, json};

use crate::support::{Fixture, at, fixtures, name, new};

fn daily() -> Value {
    json!({
        "window": "day", "grace": "10m",
        "prizes": [
            {"to": 1, "items": [{"productId": "gold", "quantity": 10}, {"productId": "gem", "quantity": 1}]},
            {"percent": 50.0, "items": [{"productId": "gold", "quantity": 1}]},
        ],
    })
}

async fn products(fixture: &Fixture) {
    for product in ["gold", "gem"] {
        sqlx::query(
            "INSERT INTO products (id, name, price, active, created_at, updated_at)
             VALUES ($1, $1, 1, 1, 0, 0)",
        )
        .bind(product)
        .execute(fixture.database.pool())
        .await
        .unwrap();
    }
}

/// Noon in Beijing.
const NOON: &str = "2026-11-29T04:00:00Z";
const DAY: &str = "2026-11-29";
/// Midnight, and ten minutes.
const DUE: &str = "2026-11-29T16:10:00Z";

async fn granted(fixture: &Fixture, user: UserId) -> Vec<String> {
    let all = rewards::list(&fixture.database, user, None, 10)
        .await
        .unwrap();
    all.rewards
        .into_iter()
        .map(|reward| reward.source)
        .collect()
}

#[tokio::test]
async fn window_is_archived_and_prizes_are_granted_once() {
    for fixture in fixtures(daily()).await {
        products(&fixture).await;
        let players = fixture.players(6).await;
        for (n, player) in players.iter().enumerate() {
            let score = 100 - i64::try_from(n).unwrap();
            fixture.score_at(*player, score, at(NOON)).await.unwrap();
        }
        let boards = &fixture.boards;
        let early = boards.end_due(at(DUE) - 1.milliseconds()).await.unwrap();
        assert_eq!(early, Ended::default());
        let ended = boards.end_due(at(DUE)).await.unwrap();
        assert_eq!((ended.archived, ended.prizes, ended.ended), (1, 3, 1));
        assert_eq!(boards.end_due(at(DUE)).await.unwrap(), Ended::default());
        let name = name();
        let again = boards
            .end_now(&name, &DAY.parse().unwrap(), at(DUE))
            .await
            .unwrap();
        assert_eq!(again, Ended::default());

        assert_eq!(
            granted(&fixture, players[0]).await,
            [format!("season:score:{DAY}:{}", players[0])]
        );
        let gold = "SELECT CAST(sum(quantity) AS BIGINT) FROM inventory WHERE product_id = 'gold'";
        assert_eq!(fixture.number(gold).await, 12);
        assert_eq!(granted(&fixture, players[3]).await.len(), 0);
        assert_eq!(fixture.number("SELECT count(*) FROM scores").await, 0);

        // The ended window is read from the archive.
        let query = Query {
            limit: 2,
            window: Some(DAY.parse().unwrap()),
            ..Query::default()
        };
        let page = fixture.page(players[5], query.clone()).await;
        let seen: Vec<_> = page
            .entries
            .iter()
            .map(|it| (it.rank, it.user_id, it.score))
            .collect();
        assert_eq!(seen, [(1, players[0], 100), (2, players[1], 99)]);
        assert_eq!(page.me.unwrap().rank, 6);
        let next = Query {
            cursor: Some(page.next_cursor.unwrap().parse().unwrap()),
            window: None,
            ..query.clone()
        };
        assert_eq!(fixture.page(players[5], next).await.entries[0].rank, 3);
        let around = Query {
            around_me: true,
            ..query
        };
        let page = fixture.page(players[5], around).await;
        assert_eq!(page.entries[1].user_id, players[5]);
        assert_eq!(page.next_cursor, None);
    }
}

#[tokio::test]
async fn two_workers_and_scores_at_once_end_a_window_once() {
    for fixture in fixtures(daily()).await {
        let fixture = Arc::new(fixture);
        products(&fixture).await;
        let players = fixture.players(30).await;
        for player in &players {
            fixture.score_at(*player, 1, at(NOON)).await.unwrap();
        }
        // Runs of the day, whose scores arrive while it ends, and later ones.
        let done = Arc::new(AtomicBool::new(false));
        let writers: Vec<_> = (0..3)
            .map(|_| {
                let (fixture, done) = (Arc::clone(&fixture), Arc::clone(&done));
                let players = players.clone();
                tokio::spawn(async move {
                    let (mut runs, begun) = (0_i64, at("2026-11-29T15:59:00Z"));
                    while !done.load(Ordering::SeqCst) {
                        let player = players[fastrand::usize(..players.len())];
                        let board = &fixture.board;
                        let run = fixture.boards.open_run(board, player, begun).await.unwrap();
                        let score = NewScore {
                            run: Some(run.id),
                            ..new(player, fastrand::i64(1..1_000_000))
                        };
                        let late = at(DUE) - 1.milliseconds();
                        fixture.boards.submit(board, score, late).await.unwrap();
                        runs += 1;
                    }
                    runs
                })
            })
            .collect();
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        let others = [fixture.another_process(), fixture.another_process()];
        let ends = others.iter().map(|boards| async {
            loop {
                match boards.end_due(at(DUE)).await {
                    Ok(ended) => return ended,
                    Err(error) => assert!(error.is_transient(), "{error}"),
                }
            }
        });
        let ended = futures_util::future::join_all(ends).await;
        done.store(true, Ordering::SeqCst);
        let mut runs = 0;
        for writer in writers {
            runs += writer.await.unwrap();
        }
        let archived: u64 = ended.iter().map(|ended| ended.archived).sum();
        let prizes: u64 = ended.iter().map(|ended| ended.prizes).sum();
        assert_eq!((archived, prizes), (1, 15));
        assert_eq!(
            fixture.number("SELECT count(*) FROM board_archive").await,
            30
        );
        assert_eq!(fixture.number("SELECT count(*) FROM rewards").await, 15);
        // No score is left in the ended window, and every run counted in one window.
        let left = "SELECT count(*) FROM scores WHERE window_key = '2026-11-29'";
        assert_eq!(fixture.number(left).await, 0);
        let used = "SELECT count(*) FROM score_runs WHERE used_at IS NOT NULL";
        assert_eq!(fixture.number(used).await, runs);
    }
}

#[tokio::test]
async fn late_score_counts_where_its_run_began_within_grace() {
    for fixture in fixtures(json!({"window": "day", "grace": "10m"})).await {
        let player = fixture.player().await;
        let begun = at("2026-11-29T15:59:00Z");
        let submit = async |score: i64, now: Timestamp| {
            let run = fixture
                .boards
                .open_run(&fixture.board, player, begun)
                .await
                .unwrap();
            let score = NewScore {
                run: Some(run.id),
                ..new(player, score)
            };
            fixture
                .boards
                .submit(&fixture.board, score, now)
                .await
                .unwrap();
        };
        let best = async |window: &'static str| -> Option<i64> {
            sqlx::query_scalar("SELECT score FROM scores WHERE window_key = $1")
                .bind(window)
                .fetch_optional(fixture.database.pool())
                .await
                .unwrap()
        };
        submit(5, at("2026-11-29T16:09:59Z")).await;
        assert_eq!((best(DAY).await, best("2026-11-30").await), (Some(5), None));
        // Without a run it counts when it arrives; so does one after the grace, though no job has ended the window.
        fixture
            .score_at(player, 6, at("2026-11-29T16:05:00Z"))
            .await
            .unwrap();
        submit(7, at("2026-11-29T16:10:00Z")).await;
        assert_eq!(
            (best(DAY).await, best("2026-11-30").await),
            (Some(5), Some(7))
        );
    }
}

#[tokio::test]
async fn prizes_continue_where_a_killed_job_stopped() {
    for fixture in fixtures(daily()).await {
        let players = fixture.players(4).await;
        for (player, score) in players.iter().zip([4, 3, 2, 1]) {
            fixture.score_at(*player, score, at(NOON)).await.unwrap();
        }
        // The products do not exist: the archive is written, and no prize.
        let failed = fixture.boards.end_due(at(DUE)).await;
        assert!(matches!(failed, Err(BoardError::Prize(_))), "{failed:?}");
        assert_eq!(
            fixture.number("SELECT count(*) FROM board_archive").await,
            4
        );
        let late = fixture
            .boards
            .open_run(&fixture.board, players[3], at(NOON))
            .await
            .unwrap();
        products(&fixture).await;
        let ended = fixture.boards.end_due(at(DUE)).await.unwrap();
        assert_eq!((ended.archived, ended.prizes, ended.ended), (0, 2, 1));
        // A run of the ended window counts in the current one.
        let score = NewScore {
            run: Some(late.id),
            ..new(players[3], 1000)
        };
        let stored = fixture
            .boards
            .submit(&fixture.board, score, at(NOON) + 30.minutes())
            .await;
        assert!(matches!(stored, Err(BoardError::Closed)), "{stored:?}");
    }
}

#[tokio::test]
async fn window_without_an_end_is_never_ended() {
    for fixture in fixtures(json!({})).await {
        let player = fixture.player().await;
        fixture.score(player, 1).await;
        let (name, all) = (name(), "all".parse().unwrap());
        let ended = fixture.boards.end_now(&name, &all, Timestamp::now()).await;
        assert!(matches!(ended, Err(BoardError::Closed)), "{ended:?}");
        let far = at("2999-01-01T00:00:00Z");
        assert_eq!(fixture.boards.end_due(far).await.unwrap(), Ended::default());
        assert_eq!(fixture.number("SELECT count(*) FROM scores").await, 1);
    }
}

#[tokio::test]
async fn hidden_players_win_no_prizes() {
    for fixture in fixtures(daily()).await {
        products(&fixture).await;
        let players = fixture.players(2).await;
        for (player, score) in players.iter().zip([4, 3]) {
            fixture.score_at(*player, score, at(NOON)).await.unwrap();
        }
        let ban = avalon_core::accounts::users::Ban {
            at: at(NOON),
            reason: None,
        };
        let banned =
            avalon_core::accounts::users::set_ban(&fixture.database, players[0], Some(&ban));
        banned.await.unwrap();
        fixture.boards.end_due(at(DUE)).await.unwrap();
        assert_eq!(granted(&fixture, players[0]).await.len(), 0);
        assert_eq!(granted(&fixture, players[1]).await.len(), 1);
    }
}

#[tokio::test]
async fn season_that_an_operator_moves_ends_at_its_new_time() {
    use avalon_core::social::boards::Board;
    let seasons = |to: &str| {
        json!({"window": "season", "grace": "0s",
            "seasons": [{"name": "s1", "from": "2026-11-01", "to": to}]})
    };
    for fixture in fixtures(seasons("2026-12-01")).await {
        let player = fixture.player().await;
        fixture.score_at(player, 4, at(NOON)).await.unwrap();
        let moved = serde_json::from_value(seasons("2026-11-30")).unwrap();
        let moved = Board::new(name(), moved).unwrap();
        let definitions = fixture.boards.definitions();
        definitions.put(&moved, at(NOON)).await.unwrap();
        let board = definitions.get(&name()).await.unwrap();
        let midnight = at("2026-11-29T16:00:00Z");
        let closed = fixture
            .boards
            .submit(&board, new(player, 9), midnight)
            .await;
        assert!(matches!(closed, Err(BoardError::Closed)), "{closed:?}");
        assert_eq!(fixture.boards.end_due(midnight).await.unwrap().ended, 1);
        // The last season is shown until the next one begins.
        let page = fixture.page(player, Query::default()).await;
        assert_eq!((page.window.as_str(), page.entries[0].score), ("s1", 4));
    }
}
