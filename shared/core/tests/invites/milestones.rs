//! What invited players reach, and who may report it.

use crate::world::on_both;

on_both! {
    milestone_is_reached_once,
    sign_in_after_days_is_a_milestone,
    payments_count_until_they_are_refunded,
}

mod on {
    use avalon_core::analytics::{BatchHead, Client, EventBatch, EventLine, Player, Source};
    use avalon_core::base::ids::UserId;
    use avalon_core::social::invites::InviteState;
    use jiff::{SignedDuration, Timestamp};
    use serde_json::json;
    use serde_json::value::RawValue;

    use crate::world::{World, settle_all};

    fn batch(source: Source, name: &str, user: UserId) -> EventBatch {
        let player = Player {
            user_id: user.to_string(),
            open_id: None,
        };
        let line = EventLine {
            name: name.to_owned(),
            params: RawValue::from_string("{}".to_owned()).unwrap(),
            at: 0,
            id: None,
            session_id: None,
            player: 0,
        };
        EventBatch {
            head: BatchHead {
                id: ulid::Ulid::generate(),
                received_at: 0,
                source,
                players: vec![player],
                client: Client::default(),
            },
            events: vec![line],
        }
    }

    pub(super) async fn milestone_is_reached_once(world: World) {
        let gems = json!([{"productId": "gems", "quantity": 5}]);
        let config = json!({"milestone": {"event": "level_5"}, "inviter": gems});
        let invites = world.invites(&config);
        let (now, alice) = (Timestamp::now(), world.player("alice").await);
        let code = world.code(alice).await;
        let [bob] = world.invited(&code, "bob", 1).await[..] else {
            panic!("one");
        };
        let other = invites.reached_by(&batch(Source::Client, "level_4", bob));
        assert_eq!(other, []);
        let reached = invites.reached_by(&batch(Source::Client, "level_5", bob));
        assert_eq!(reached, [bob]);
        assert_eq!(invites.reach(&[alice, bob], now).await.unwrap(), 1);
        assert_eq!(invites.reach(&[alice, bob], now).await.unwrap(), 0);
        assert_eq!(settle_all(&invites, 1).await, [InviteState::Rewarded]);
        assert_eq!(invites.reach(&[bob], now).await.unwrap(), 0);
        assert_eq!(invites.due(now, 10).await.unwrap(), []);
        assert_eq!(world.gems(alice).await, 5);
    }

    pub(super) async fn sign_in_after_days_is_a_milestone(world: World) {
        let gems = json!([{"productId": "gems", "quantity": 5}]);
        let invites = world.invites(&json!({"milestone": {"days": 3}, "invited": gems}));
        let code = world.code(world.player("alice").await).await;
        let players = world.invited(&code, "p", 5).await;
        let day = 24 * 3600 * 1000;
        let now = Timestamp::now();
        // Came four days ago; the last three have signed in again: one too early.
        for (n, player) in players.iter().enumerate() {
            let came = now.as_millisecond() - 4 * day;
            let last = match n {
                0 | 1 => came,
                2 => came + 3 * day - 1,
                _ => came + 3 * day,
            };
            for sql in [
                "UPDATE invites SET at = $1 WHERE user_id = $2",
                "UPDATE users SET last_login_at = $1 WHERE id = $2",
            ] {
                let at = if sql.contains("users") { last } else { came };
                let change = sqlx::query(sql).bind(at).bind(*player);
                change.execute(world.database.pool()).await.unwrap();
            }
        }
        let early = now - SignedDuration::from_hours(48);
        assert_eq!(invites.reach_by_days(early, 2).await.unwrap(), 0);
        // Batches smaller than the number of rows, which have equal times.
        assert_eq!(invites.reach_by_days(now, 2).await.unwrap(), 2);
        assert_eq!(invites.reach_by_days(now, 2).await.unwrap(), 0);
        assert_eq!(settle_all(&invites, 1).await, [InviteState::Rewarded; 2]);
        assert_eq!(world.gems(players[3]).await, 5);
        assert_eq!(world.gems(players[2]).await, 0);
    }

    pub(super) async fn payments_count_until_they_are_refunded(world: World) {
        let gems = json!([{"productId": "gems", "quantity": 5}]);
        let config = json!({"milestone": {"purchase": true}, "inviter": gems});
        let invites = world.invites(&config);
        let alice = world.player("alice").await;
        let code = world.code(alice).await;
        let [bob] = world.invited(&code, "bob", 1).await[..] else {
            panic!("one");
        };
        let forged = invites.reached_by(&batch(Source::Client, "order_paid", bob));
        assert_eq!(forged, [], "clients cannot report payments");
        let paid = invites.reached_by(&batch(Source::Service, "order_paid", bob));
        assert_eq!(paid, [bob]);

        let order = async |id: &str, status: &str| {
            sqlx::query(
                "INSERT INTO orders (id, user_id, open_id, product_id, product_name, quantity,
                     total_fee, channel, status, idempotency_key, request_digest, holds_stock,
                     created_at, expires_at)
                 VALUES ($1, $2, 'o', 'cup', 'cup', 1, 100, 'wechat_pay', $3, $1, '', 0, 0, 0)",
            )
            .bind(id)
            .bind(bob)
            .bind(status)
            .execute(world.database.pool())
            .await
            .unwrap();
        };
        order("a", "refunded").await;
        let now = Timestamp::now();
        invites.reach(&paid, now).await.unwrap();
        assert_eq!(settle_all(&invites, 1).await, [InviteState::Invited]);
        assert_eq!(world.gems(alice).await, 0);
        order("b", "paid").await;
        invites.reach(&paid, now).await.unwrap();
        assert_eq!(settle_all(&invites, 1).await, [InviteState::Rewarded]);
        assert_eq!(world.gems(alice).await, 5);
    }
}
