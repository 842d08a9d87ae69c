//! Banned players, and those on WeChat's list of cheats.

use avalon_core::accounts::users::{self, Ban};
use avalon_core::base::ids::UserId;
use avalon_core::social::boards::{Observation, repeat_bans};
use avalon_wechat::OpenId;
use jiff::Timestamp;
use serde_json::json;

use crate::support::{Fixture, fixtures, plain};

async fn set_ban(fixture: &Fixture, user: UserId, banned: bool) {
    let ban = Ban {
        at: Timestamp::now(),
        reason: None,
    };
    let ban = banned.then_some(&ban);
    users::set_ban(&fixture.database, user, ban).await.unwrap();
}

#[tokio::test]
async fn banned_player_is_ranked_for_no_one_else_until_the_ban_is_lifted() {
    for fixture in fixtures(plain()).await {
        let players = fixture.players(3).await;
        for (player, score) in players.iter().zip([30, 20, 10]) {
            fixture.score(*player, score).await;
        }
        fixture.synchronise().await;
        let window = fixture.window("all");
        set_ban(&fixture, players[0], true).await;
        fixture.boards.synchronise(Timestamp::now()).await.unwrap();
        let ranks = [(1, players[1]), (2, players[2])];
        assert_eq!(fixture.top(players[2]).await, ranks);
        assert_eq!(fixture.assert_equal_to_table(&window).await, 2);
        let own = fixture.page(players[0], Default::default()).await;
        let me = own.me.unwrap();
        assert_eq!((me.rank, me.score), (1, 30));
        // A new score of a banned player, by the game server or a race, is hidden too.
        fixture.score(players[0], 40).await;
        fixture.assert_equal_to_table(&window).await;
        assert_eq!(fixture.top(players[2]).await, ranks);
        set_ban(&fixture, players[0], false).await;
        fixture.boards.synchronise(Timestamp::now()).await.unwrap();
        assert_eq!(fixture.top(players[2]).await[0], (1, players[0]));
        assert_eq!(fixture.assert_equal_to_table(&window).await, 3);
    }
}

#[tokio::test]
async fn erased_player_is_ranked_no_more() {
    for fixture in fixtures(json!({"max": 100})).await {
        let players = fixture.players(2).await;
        for player in &players {
            fixture.score(*player, 10).await;
            fixture.score(*player, 200).await;
        }
        fixture.synchronise().await;
        let mut transaction = fixture.database.begin().await.unwrap();
        avalon_core::social::boards::erase(&mut transaction, players[0], Timestamp::now())
            .await
            .unwrap();
        transaction.commit().await.unwrap();
        fixture.boards.synchronise(Timestamp::now()).await.unwrap();
        assert_eq!(fixture.top(players[1]).await, [(1, players[1])]);
        fixture.assert_equal_to_table(&fixture.window("all")).await;
        let held = "SELECT count(*) FROM held_scores";
        assert_eq!(fixture.number(held).await, 1);
    }
}

#[tokio::test]
async fn score_that_was_stored_while_the_ban_was_is_hidden_later() {
    for fixture in fixtures(plain()).await {
        let player = fixture.player().await;
        fixture.score(player, 30).await;
        sqlx::query("UPDATE users SET banned_at = 1")
            .execute(fixture.database.pool())
            .await
            .unwrap();
        let now = Timestamp::now();
        assert_eq!(repeat_bans(&fixture.database, now).await.unwrap(), 1);
        assert_eq!(repeat_bans(&fixture.database, now).await.unwrap(), 0);
        assert_eq!(fixture.number("SELECT hidden FROM scores").await, 1);
    }
}

#[tokio::test]
async fn marked_players_are_hidden_and_held_where_the_board_wants_it() {
    for fixture in fixtures(json!({"holdMarked": true})).await {
        let players = fixture.players(2).await;
        for player in &players {
            fixture.score(*player, 10).await;
        }
        let observation = |observed: &str| Observation {
            open_id: OpenId::new(format!("o{}", players[0])),
            cheat_type: 1,
            risk_level: 4,
            observed: observed.to_owned(),
        };
        let now = Timestamp::now();
        let boards = &fixture.boards;
        let mark = async |observed: &str| boards.mark(&observation(observed), now).await.unwrap();
        assert!(mark("2026112910").await);
        // Repeated, and older.
        assert!(!mark("2026112910").await);
        assert!(!mark("2026112909").await);
        let stranger = Observation {
            open_id: OpenId::new("unknown"),
            ..observation("2026112910")
        };
        assert!(!boards.mark(&stranger, now).await.unwrap());
        assert_eq!(fixture.top(players[1]).await, [(1, players[1])]);
        fixture.score(players[0], 50).await;
        let held = boards.held(&fixture.board.name, None, 10).await.unwrap();
        assert_eq!(held[0].reason, "marked");
        assert_eq!(boards.marks(None, 10).await.unwrap().len(), 1);
        // An operator disagrees, and only a later observation marks again.
        assert!(boards.clear_mark(players[0], now).await.unwrap());
        assert!(!boards.clear_mark(players[0], now).await.unwrap());
        assert_eq!(fixture.top(players[1]).await.len(), 2);
        assert!(!mark("2026112910").await);
        assert!(mark("2026112911").await);
        assert_eq!(fixture.top(players[1]).await.len(), 1);
    }
}
