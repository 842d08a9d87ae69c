//! Issuing and tracking shares, and the funnel.

use crate::world::on_both;

on_both! {
    scenes_of_operators_take_precedence,
    shown_and_opened_count_once_and_never_for_the_sharer,
    invalid_share_ids_are_indistinguishable,
    funnel_counts_players_rewards_and_spending,
    funnel_has_players_who_came_by_a_code_alone,
    old_shares_are_deleted_with_their_events,
}

mod on {
    use avalon_core::analytics::counts::Span;
    use avalon_core::base::ids::UserId;
    use avalon_core::social::shares::config::{SceneName, ShareScene};
    use avalon_core::social::shares::{ShareError, ShareEvent, funnel, retention, scenes};
    use jiff::{SignedDuration, Timestamp};
    use serde_json::json;
    use sqlx::Row;
    use ulid::Ulid;

    use crate::world::{World, settle_all};

    pub(super) async fn scenes_of_operators_take_precedence(world: World) {
        let (alice, now) = (world.player("alice").await, Timestamp::now());
        let name: SceneName = "invite".parse().unwrap();
        let issue = async |channel| world.shares.issue(alice, &name, channel, now).await;
        let card = issue(None).await.unwrap();
        assert_eq!(card.title, "Play");
        let expected = format!(
            "level=3&shareId={}&inviteCode={}&scene=invite",
            card.share_id, card.invite_code
        );
        assert_eq!(card.query, expected);
        assert!(matches!(
            issue(Some("odd")).await,
            Err(ShareError::UnknownChannel)
        ));

        let long = format!("a={}", "x".repeat(766));
        let scene = json!({"title": "New", "imageUrl": "b.png", "query": long});
        let scene: ShareScene = serde_json::from_value(scene).unwrap();
        scenes::put(&world.database, &name, &scene, now)
            .await
            .unwrap();
        let card = issue(Some("menu")).await.unwrap();
        assert_eq!(card.title, "New");
        assert!(card.query.len() < 1024, "{} bytes", card.query.len());
        assert_eq!(scenes::list(&world.database).await.unwrap()[&name], scene);

        let over = json!({"title": "Old", "imageUrl": "b.png", "to": "2026-01-01T00:00:00Z"});
        let over: ShareScene = serde_json::from_value(over).unwrap();
        scenes::put(&world.database, &name, &over, now)
            .await
            .unwrap();
        assert!(matches!(issue(None).await, Err(ShareError::UnknownScene)));
        let unknown = "unknown".parse().unwrap();
        let unknown = world.shares.issue(alice, &unknown, None, now).await;
        assert!(matches!(unknown, Err(ShareError::UnknownScene)));
    }

    async fn events(world: &World) -> Vec<(String, Option<String>)> {
        let rows = sqlx::query("SELECT event, group_id FROM share_events ORDER BY event, user_id");
        let rows = rows.fetch_all(world.database.pool()).await.unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    pub(super) async fn shown_and_opened_count_once_and_never_for_the_sharer(world: World) {
        let (alice, bob) = (world.player("alice").await, world.player("bob").await);
        let (share, now) = (world.share(alice).await, Timestamp::now());
        for user in [alice, bob, bob] {
            for event in [ShareEvent::Shown, ShareEvent::Opened] {
                world.shares.track(user, &share, event, now).await.unwrap();
            }
        }
        let opened = |group| ("opened".to_owned(), group);
        let shown = ("shown".to_owned(), None);
        assert_eq!(events(&world).await, [opened(None), shown.clone()]);
        // The group becomes known after the opening was reported, and stays.
        for (user, group) in [(bob, "tG1"), (bob, "tG2"), (alice, "tG3")] {
            let in_group = world.shares.opened_in_group(user, &share, group, now);
            in_group.await.unwrap();
        }
        let opened = opened(Some("tG1".to_owned()));
        assert_eq!(events(&world).await, [opened, shown]);
    }

    pub(super) async fn invalid_share_ids_are_indistinguishable(world: World) {
        let (alice, bob) = (world.player("alice").await, world.player("bob").await);
        let (share, now) = (world.share(alice).await, Timestamp::now());
        let never_issued = world.shares.ids().sign(Ulid::generate());
        let forged = format!("{}{}", &share[..26], &never_issued[26..]);
        let expired = now + SignedDuration::from_hours(30 * 24);
        let mut problems = Vec::new();
        for (id, at) in [
            (&*never_issued, now),
            (&*forged, now),
            (&*share, expired),
            ("礼包", now),
            ("", now),
        ] {
            let tracked = world.shares.track(bob, id, ShareEvent::Opened, at).await;
            problems.push(tracked.unwrap_err().problem());
        }
        problems.dedup();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_eq!(problems[0].status, 422);
        assert_eq!(events(&world).await, []);
    }

    pub(super) async fn funnel_counts_players_rewards_and_spending(world: World) {
        let gems = json!([{"productId": "gems", "quantity": 1}]);
        let invites = world.invites(&json!({"milestone": {"event": "e"}, "inviter": gems}));
        let (alice, bob) = (world.player("alice").await, world.player("bob").await);
        let (share, now) = (world.share(alice).await, Timestamp::now());
        world.share(alice).await;
        world
            .shares
            .track(bob, &share, ShareEvent::Opened, now)
            .await
            .unwrap();
        let mut new = Vec::new();
        for name in ["carol", "dave"] {
            let player = world.sign_in(name, Some(&share), None, None).await.user.id;
            let opened = world.shares.track(player, &share, ShareEvent::Opened, now);
            opened.await.unwrap();
            new.push(player);
        }
        invites.reach(&new[..1], now).await.unwrap();
        settle_all(&invites, 1).await;
        let week = 7 * 24 * 3600 * 1000;
        for (id, refunded, paid_after) in
            [("a", 0, 1000), ("b", 300, 2000), ("c", 0, week + 60_000)]
        {
            let paid_at = now.as_millisecond() + paid_after;
            pay(&world, new[1], id, refunded, paid_at).await;
        }
        let hour = SignedDuration::from_hours(1);
        let span = Span {
            from: now - hour,
            to: now + hour,
        };
        let rows = funnel::funnel(&world.database, span).await.unwrap();
        let [row] = &rows[..] else {
            panic!("one row: {rows:?}");
        };
        assert_eq!(
            (&*row.scene, &*row.variant, &*row.channel),
            ("invite", "", "menu")
        );
        assert_eq!((row.issued, row.shown, row.opened), (2, 0, 3));
        assert_eq!((row.new_players, row.rewarded, row.spent), (2, 1, 1700));
        let before = Span {
            from: now - hour,
            to: now - hour,
        };
        assert_eq!(funnel::funnel(&world.database, before).await.unwrap(), []);
    }

    pub(super) async fn funnel_has_players_who_came_by_a_code_alone(world: World) {
        let gems = json!([{"productId": "gems", "quantity": 1}]);
        let invites = world.invites(&json!({"milestone": {"event": "e"}, "inviter": gems}));
        let alice = world.player("alice").await;
        let (code, share) = (world.code(alice).await, world.share(alice).await);
        let players = world.invited(&code, "coded", 3).await;
        world.sign_in("bob", Some(&share), Some(&code), None).await;
        let now = Timestamp::now();
        invites.reach(&players[..2], now).await.unwrap();
        settle_all(&invites, 2).await;
        pay(&world, players[2], "a", 0, now.as_millisecond() + 1000).await;
        let hour = SignedDuration::from_hours(1);
        let span = Span {
            from: now - hour,
            to: now + hour,
        };
        let rows = funnel::funnel(&world.database, span).await.unwrap();
        let [by_code, by_share] = &rows[..] else {
            panic!("two rows: {rows:?}");
        };
        assert_eq!(
            (&*by_code.scene, &*by_code.variant, &*by_code.channel),
            ("", "", "invite_code")
        );
        assert_eq!((by_code.issued, by_code.shown, by_code.opened), (0, 0, 0));
        assert_eq!(
            (by_code.new_players, by_code.rewarded, by_code.spent),
            (3, 2, 1000)
        );
        assert_eq!((&*by_share.channel, by_share.new_players), ("menu", 1));
        let before = Span {
            from: now - hour,
            to: now - hour,
        };
        assert_eq!(funnel::funnel(&world.database, before).await.unwrap(), []);
    }

    /// A paid order of ten yuan, of which this is refunded.
    async fn pay(world: &World, user: UserId, id: &str, refunded: i64, paid_at: i64) {
        sqlx::query(
            "INSERT INTO orders (id, user_id, open_id, product_id, product_name, quantity,
                 total_fee, refunded_fee, channel, status, idempotency_key, request_digest,
                 holds_stock, created_at, expires_at, paid_at)
             VALUES ($1, $2, 'o', 'cup', 'cup', 1, 1000, $3, 'wechat_pay', 'paid', $1, '', 0, 0, 0, $4)",
        )
        .bind(id)
        .bind(user)
        .bind(refunded)
        .bind(paid_at)
        .execute(world.database.pool())
        .await
        .unwrap();
    }

    pub(super) async fn old_shares_are_deleted_with_their_events(world: World) {
        let (alice, bob) = (world.player("alice").await, world.player("bob").await);
        let now = Timestamp::now();
        for _ in 0..5 {
            let share = world.share(alice).await;
            world
                .shares
                .track(bob, &share, ShareEvent::Opened, now)
                .await
                .unwrap();
        }
        let delete = async |before, limit| {
            let deleted = retention::delete_old(&world.database, before, limit).await;
            deleted.unwrap()
        };
        assert_eq!(delete(now - SignedDuration::from_hours(1), 10).await, 0);
        let later = now + SignedDuration::from_hours(1);
        assert_eq!(delete(later, 3).await, 3);
        assert_eq!(events(&world).await.len(), 2);
        assert_eq!(delete(later, 3).await, 2);
        assert_eq!(events(&world).await, []);
    }
}
