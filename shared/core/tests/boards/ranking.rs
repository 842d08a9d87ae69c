//! Ranks, pages and surroundings equal those of one query.

use avalon_core::social::boards::{Query, WindowId};
use jiff::{Timestamp, ToSpan};
use serde_json::json;

use crate::support::{Fixture, fixtures, plain};

/// Scores of many players with many ties, some reported repeatedly.
async fn play(fixture: &Fixture, players: &[avalon_core::base::ids::UserId], rounds: usize) {
    for round in 0..rounds {
        let scores = players.iter().enumerate().filter_map(|(n, player)| {
            let plays = round == 0 || fastrand::u8(..) < 25;
            let _ = n;
            plays.then(|| fixture.score(*player, fastrand::i64(0..12)))
        });
        futures_util::future::join_all(scores).await;
    }
}

#[tokio::test]
async fn index_equals_the_table_with_many_ties() {
    for settings in [plain(), json!({"keep": "last", "order": "asc"})] {
        for fixture in fixtures(settings).await {
            let players = fixture.players(120).await;
            play(&fixture, &players, 1).await;
            fixture.synchronise().await;
            let window = fixture.window("all");
            assert_eq!(fixture.assert_equal_to_table(&window).await, 120);
            play(&fixture, &players, 3).await;
            // By the writers alone.
            fixture.assert_equal_to_table(&window).await;
        }
    }
}

#[tokio::test]
async fn first_to_reach_a_score_ranks_first() {
    for fixture in fixtures(plain()).await {
        let players = fixture.players(3).await;
        let now = Timestamp::now();
        for (player, ago) in players.iter().zip([1, 3, 2]) {
            let then = now - ago.seconds();
            fixture.score_at(*player, 7, then).await.unwrap();
        }
        let ranks = [(1, players[1]), (2, players[2]), (3, players[0])];
        // From the table, then from the index.
        assert_eq!(fixture.top(players[0]).await, ranks);
        fixture.synchronise().await;
        assert_eq!(fixture.top(players[0]).await, ranks);
        let lost = fixture.score(players[1], 6).await;
        assert_eq!((lost.accepted, lost.rank), (false, 1));
    }
}

async fn pages(fixture: &Fixture, limit: u64) -> Vec<(u64, avalon_core::base::ids::UserId)> {
    let me = fixture.player().await;
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let page = fixture.page(
            me,
            Query {
                limit,
                cursor,
                ..Query::default()
            },
        );
        let page = page.await;
        assert!(page.entries.len() as u64 <= limit);
        seen.extend(page.entries.iter().map(|it| (it.rank, it.user_id)));
        match page.next_cursor {
            Some(next) => cursor = Some(next.parse().unwrap()),
            None => return seen,
        }
    }
}

#[tokio::test]
async fn pages_have_every_player_once() {
    for fixture in fixtures(plain()).await {
        let players = fixture.players(25).await;
        play(&fixture, &players, 2).await;
        let from_table = pages(&fixture, 7).await;
        fixture.synchronise().await;
        assert_eq!(pages(&fixture, 7).await, from_table);
        let ranks: Vec<u64> = from_table.iter().map(|(rank, _)| *rank).collect();
        assert_eq!(ranks, (1..=25).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn page_around_a_player_is_exact_at_both_ends() {
    for fixture in fixtures(plain()).await {
        let players = fixture.players(9).await;
        for (n, player) in players.iter().enumerate() {
            fixture
                .score(*player, 100 - i64::try_from(n).unwrap())
                .await;
        }
        for synchronised in [false, true] {
            if synchronised {
                fixture.synchronise().await;
            }
            for (n, first) in [(0, 1), (2, 1), (4, 3), (6, 5), (8, 5)] {
                let page = fixture.page(
                    players[n],
                    Query {
                        limit: 5,
                        around_me: true,
                        ..Query::default()
                    },
                );
                let page = page.await;
                let ranks: Vec<u64> = page.entries.iter().map(|it| it.rank).collect();
                assert_eq!(ranks, (first..first + 5).collect::<Vec<_>>(), "{n}");
                let me = page.me.unwrap();
                assert_eq!((me.rank, me.user_id), (n as u64 + 1, players[n]));
            }
        }
    }
}

#[tokio::test]
async fn size_bounds_what_others_see_but_not_the_own_rank() {
    for fixture in fixtures(json!({"size": 3})).await {
        let players = fixture.players(5).await;
        for (n, player) in players.iter().enumerate() {
            fixture.score(*player, -i64::try_from(n).unwrap()).await;
        }
        let page = fixture.page(
            players[4],
            Query {
                limit: 10,
                ..Query::default()
            },
        );
        let page = page.await;
        assert_eq!((page.entries.len(), page.next_cursor), (3, None));
        let me = page.me.unwrap();
        assert_eq!(me.rank, 5);
        assert_eq!(me.nickname, Some(format!("n{}", players[4])));
    }
}

#[tokio::test]
async fn change_of_the_name_is_seen_at_once() {
    for fixture in fixtures(plain()).await {
        let player = fixture.player().await;
        fixture.score(player, 1).await;
        fixture.synchronise().await;
        sqlx::query("UPDATE users SET nickname = 'new'")
            .execute(fixture.database.pool())
            .await
            .unwrap();
        let page = fixture.page(player, Query::default()).await;
        assert_eq!(page.entries[0].nickname.as_deref(), Some("new"));
        let json = serde_json::to_string(&page).unwrap();
        assert!(!json.contains("openId") && !json.contains(&format!("o{player}")));
    }
}

#[tokio::test]
async fn group_ranks_its_members_for_members_only() {
    use avalon_core::social::boards::{BoardError, join_group};
    for fixture in fixtures(plain()).await {
        let players = fixture.players(4).await;
        for (player, score) in players.iter().zip([40, 30, 20, 10]) {
            fixture.score(*player, score).await;
        }
        let now = Timestamp::now();
        for member in [1, 3] {
            join_group(&fixture.database, "g", players[member], now)
                .await
                .unwrap();
        }
        // Left a month ago.
        let long_ago = now - (30 * 24 + 1).hours();
        join_group(&fixture.database, "g", players[2], long_ago)
            .await
            .unwrap();
        let query = Query {
            limit: 10,
            group: Some("g".to_owned()),
            ..Query::default()
        };
        let page = fixture.page(players[3], query.clone()).await;
        let seen: Vec<_> = page
            .entries
            .iter()
            .map(|it| (it.rank, it.user_id))
            .collect();
        assert_eq!(seen, [(1, players[1]), (2, players[3])]);
        assert_eq!(page.me.unwrap().rank, 2);
        for stranger in [0, 2] {
            let name = crate::support::name();
            let refused = fixture
                .boards
                .leaderboard(&name, players[stranger], &query, now);
            let refused = refused.await;
            assert!(
                matches!(refused, Err(BoardError::UnknownGroup)),
                "{refused:?}"
            );
        }
    }
}

#[tokio::test]
async fn unknown_windows_and_boards_are_refused() {
    use avalon_core::social::boards::BoardError;
    for fixture in fixtures(plain()).await {
        let player = fixture.player().await;
        let query = Query {
            limit: 1,
            window: Some("2020-01-01".parse().unwrap()),
            ..Query::default()
        };
        let (boards, now) = (&fixture.boards, Timestamp::now());
        let read = boards
            .leaderboard(&crate::support::name(), player, &query, now)
            .await;
        assert!(matches!(read, Err(BoardError::UnknownWindow)), "{read:?}");
        let other = "other".parse().unwrap();
        let read = boards
            .leaderboard(&other, player, &Query::default(), now)
            .await;
        assert!(matches!(read, Err(BoardError::UnknownBoard)), "{read:?}");
        // The current one may be empty.
        assert_eq!(fixture.top(player).await, []);
        let _: WindowId = fixture.window("all");
    }
}
