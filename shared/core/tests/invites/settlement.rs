//! Which rewards are granted, and which are not.

use crate::world::on_both;

on_both! {
    both_players_are_rewarded_as_configured,
    banned_and_suspicious_players_are_refused,
    unknown_product_grants_nothing_until_it_exists,
    operators_see_the_tree,
    addresses_are_stored_until_the_rewards_are_decided,
}

mod on {
    use avalon_core::accounts::users::{self, Ban};
    use avalon_core::payments::PaymentError;
    use avalon_core::social::invites::settlement::Assessment;
    use avalon_core::social::invites::{InviteState, forget_addresses};
    use avalon_core::social::rewards;
    use jiff::{SignedDuration, Timestamp};
    use serde_json::json;

    use crate::world::{World, settle_all};

    pub(super) async fn both_players_are_rewarded_as_configured(world: World) {
        let invites = world.invites(&json!({
            "milestone": {"event": "level_5"},
            "inviter": [{"productId": "gems", "quantity": 5}, {"productId": "cup", "quantity": 1}],
            "invited": [{"productId": "gems", "quantity": 2}],
        }));
        let alice = world.player("alice").await;
        let players = world.invited(&world.code(alice).await, "p", 2).await;
        invites.reach(&players, Timestamp::now()).await.unwrap();
        settle_all(&invites, 1).await;
        assert_eq!(world.gems(alice).await, 10);
        for player in &players {
            assert_eq!(world.gems(*player).await, 2);
        }
        let listed = rewards::of_invites(&world.database, alice, 10)
            .await
            .unwrap();
        let mut sources: Vec<_> = listed.into_iter().map(|reward| reward.source).collect();
        sources.sort();
        let mut expected = players.clone();
        expected.sort();
        let expected: Vec<_> = expected
            .iter()
            .map(|player| format!("invite:{player}:inviter"))
            .collect();
        assert_eq!(sources, expected);
        let listed = rewards::of_invites(&world.database, players[0], 10)
            .await
            .unwrap();
        assert_eq!(listed[0].source, format!("invite:{}", players[0]));
        let invited = invites.invited_by(alice, 10).await.unwrap();
        let states: Vec<_> = invited.iter().map(|player| player.state).collect();
        assert_eq!(states, [InviteState::Rewarded; 2]);
    }

    pub(super) async fn banned_and_suspicious_players_are_refused(world: World) {
        let gems = json!([{"productId": "gems", "quantity": 5}]);
        let config = json!({"milestone": {"event": "e"}, "inviter": gems, "invited": gems});
        let invites = world.invites(&config);
        let (alice, cheat) = (world.player("alice").await, world.player("cheat").await);
        let of_alice = world.invited(&world.code(alice).await, "a", 2).await;
        let of_cheat = world.invited(&world.code(cheat).await, "c", 1).await;
        let now = Timestamp::now();
        for banned in [of_alice[0], cheat] {
            let ban = Ban {
                at: now,
                reason: None,
            };
            users::set_ban(&world.database, banned, Some(&ban))
                .await
                .unwrap();
        }
        invites.reach(&of_alice, now).await.unwrap();
        invites.reach(&of_cheat, now).await.unwrap();
        let suspicious = invites.due(now, 10).await.unwrap();
        let suspicious = suspicious.iter().find(|due| due.user_id == of_alice[1]);
        let settled = invites.settle(suspicious.unwrap(), Assessment::Suspicious, now);
        assert_eq!(settled.await.unwrap(), Some(InviteState::Refused));
        assert_eq!(settle_all(&invites, 1).await, [InviteState::Refused; 2]);
        for player in of_alice.into_iter().chain(of_cheat).chain([alice, cheat]) {
            assert_eq!(world.gems(player).await, 0);
        }
    }

    pub(super) async fn unknown_product_grants_nothing_until_it_exists(world: World) {
        let gems = json!([{"productId": "gems", "quantity": 5}]);
        let odd = json!([{"productId": "gone", "quantity": 1}]);
        let config = json!({"milestone": {"event": "e"}, "inviter": gems, "invited": odd});
        let invites = world.invites(&config);
        let alice = world.player("alice").await;
        let players = world.invited(&world.code(alice).await, "p", 1).await;
        let now = Timestamp::now();
        invites.reach(&players, now).await.unwrap();
        let due = invites.due(now, 10).await.unwrap();
        let settled = invites.settle(&due[0], Assessment::Harmless, now).await;
        assert!(
            matches!(settled, Err(PaymentError::UnknownProduct)),
            "{settled:?}"
        );
        assert_eq!(world.gems(alice).await, 0, "all or nothing");

        let later = now + SignedDuration::from_mins(10);
        invites.postpone(players[0], later).await.unwrap();
        assert_eq!(invites.due(now, 10).await.unwrap(), []);
        assert_eq!(invites.due(later, 10).await.unwrap().len(), 1);
        let config = json!({"milestone": {"event": "e"}, "inviter": gems});
        let invites = world.invites(&config);
        let settled = invites.settle(&due[0], Assessment::Harmless, later);
        assert_eq!(settled.await.unwrap(), Some(InviteState::Rewarded));
        assert_eq!(world.gems(alice).await, 5);
    }

    pub(super) async fn addresses_are_stored_until_the_rewards_are_decided(world: World) {
        let gems = json!([{"productId": "gems", "quantity": 5}]);
        let invites = world.invites(&json!({"milestone": {"event": "e"}, "inviter": gems}));
        let alice = world.player("alice").await;
        let players = world.invited(&world.code(alice).await, "p", 4).await;
        let now = Timestamp::now();
        invites.reach(&players[..1], now).await.unwrap();
        let due = invites.due(now, 10).await.unwrap();
        assert_eq!(due[0].client_ip, Some([203, 0, 113, 7].into()));
        settle_all(&invites, 1).await;
        let stored = async || -> i64 {
            sqlx::query_scalar("SELECT count(client_ip) FROM invites")
                .fetch_one(world.database.pool())
                .await
                .unwrap()
        };
        assert_eq!(stored().await, 3);
        let forget = async |before| forget_addresses(&world.database, before, 2).await.unwrap();
        assert_eq!(forget(now - SignedDuration::from_hours(1)).await, 0);
        let later = now + SignedDuration::from_hours(1);
        assert_eq!((forget(later).await, forget(later).await), (2, 1));
        assert_eq!(stored().await, 0);
    }

    pub(super) async fn operators_see_the_tree(world: World) {
        let invites = world.invites(&json!({}));
        let alice = world.player("alice").await;
        let below = world.invited(&world.code(alice).await, "b", 3).await;
        let mut line = vec![below[0]];
        for n in 0..10 {
            let code = world.code(line[n]).await;
            line.extend(world.invited(&code, &format!("line{n}-"), 1).await);
        }
        let tree = invites.tree(alice).await.unwrap();
        assert_eq!(tree.invited_by, []);
        assert!(tree.truncated);
        let depths: Vec<i64> = tree.invited.iter().map(|node| node.depth).collect();
        assert_eq!(depths, [1, 1, 1, 2, 3, 4, 5, 6, 7, 8]);
        let tree = invites.tree(line[9]).await.unwrap();
        assert_eq!(tree.invited.len(), 1);
        assert!(!tree.truncated);
        assert_eq!(tree.invited_by.len(), 8);
        assert_eq!(tree.invited_by[0].inviter_id, line[8]);
    }
}
