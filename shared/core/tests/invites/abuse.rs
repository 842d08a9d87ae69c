//! Abuse: rings, replays, several inviters at once, racing sign-ins, farms. One attribution, one reward, and the
//! budget is respected.

use crate::world::on_both;

on_both! {
    racing_sign_ins_and_inviters_end_in_one_attribution,
    random_sign_ins_never_form_a_ring,
    replayed_milestones_and_settlements_reward_once,
    caps_and_budget_hold_for_concurrent_settlements,
    farm_on_one_device_is_rewarded_once,
}

mod on {
    use std::collections::{BTreeMap, BTreeSet};
    use std::sync::{Arc, Mutex};

    use avalon_core::social::invites::InviteState;
    use jiff::Timestamp;
    use serde_json::json;

    use crate::world::{World, settle_all};

    pub(super) async fn racing_sign_ins_and_inviters_end_in_one_attribution(world: World) {
        let mut inviters = Vec::new();
        for n in 0..4 {
            let user = world.player(&format!("inviter{n}")).await;
            inviters.push((user, world.code(user).await, world.share(user).await));
        }
        let mut tasks = Vec::new();
        for player in 0..25 {
            for n in 0..8 {
                let (world, (_, code, share)) = (world.clone(), inviters[n % 4].clone());
                tasks.push(tokio::spawn(async move {
                    let share = Some(share).filter(|_| n < 4);
                    let name = format!("new{player}");
                    let signed_in = world.sign_in(&name, share.as_deref(), Some(&code), None);
                    let signed_in = signed_in.await;
                    (signed_in.user.id, signed_in.invited)
                }));
            }
        }
        let mut attributed = BTreeMap::<_, u32>::new();
        for task in tasks {
            let (user, invited) = task.await.unwrap();
            *attributed.entry(user).or_default() += u32::from(invited);
        }
        assert_eq!(attributed.len(), 25);
        assert!(
            attributed.values().all(|count| *count == 1),
            "{attributed:?}"
        );
        let rows = world.rows().await;
        assert_eq!(rows.len(), 25);
        for row in rows {
            assert!(inviters.iter().any(|(user, ..)| *user == row.inviter));
        }
    }

    pub(super) async fn random_sign_ins_never_form_a_ring(world: World) {
        fastrand::seed(7);
        let first = world.player("p0").await;
        let codes = Arc::new(Mutex::new(vec![world.code(first).await]));
        for _ in 0..20 {
            // Everyone signs in again and again, with the codes of everyone, their own too.
            let round = (0..12).map(|_| {
                let (world, codes) = (world.clone(), Arc::clone(&codes));
                let name = format!("p{}", fastrand::u8(..30));
                let code = fastrand::choice(&*codes.lock().unwrap()).unwrap().clone();
                tokio::spawn(async move {
                    let player = world.sign_in(&name, None, Some(&code), None).await;
                    let own = world.code(player.user.id).await;
                    codes.lock().unwrap().push(own);
                })
            });
            for task in round.collect::<Vec<_>>() {
                task.await.unwrap();
            }
        }
        let rows = world.rows().await;
        let inviter: BTreeMap<_, _> = rows.iter().map(|row| (row.user, row.inviter)).collect();
        assert_eq!(inviter.len(), rows.len());
        assert!(rows.len() >= 20, "{} invitations", rows.len());
        for row in &rows {
            let mut seen = BTreeSet::new();
            let mut at = row.user;
            while let Some(above) = inviter.get(&at) {
                assert!(seen.insert(at), "a ring through {at}");
                at = *above;
            }
            assert_eq!(at, first, "all descend from the first player");
        }
    }

    pub(super) async fn replayed_milestones_and_settlements_reward_once(world: World) {
        let gems = json!([{"productId": "gems", "quantity": 5}]);
        let config = json!({"milestone": {"event": "e"}, "inviter": gems, "invited": gems});
        let invites = world.invites(&config);
        let alice = world.player("alice").await;
        let players = world.invited(&world.code(alice).await, "p", 10).await;
        let now = Timestamp::now();
        let reports = (0..5).map(|_| {
            let (invites, players) = (invites.clone(), players.clone());
            tokio::spawn(async move { invites.reach(&players, now).await.unwrap() })
        });
        let mut reached = 0;
        for report in reports.collect::<Vec<_>>() {
            reached += report.await.unwrap();
        }
        assert_eq!(reached, 10);
        for round in 0..2 {
            let settled = settle_all(&invites, 4).await;
            assert_eq!(settled.len(), if round == 0 { 10 } else { 0 });
            invites.reach(&players, now).await.unwrap();
        }
        assert_eq!(world.gems(alice).await, 50);
        for player in players {
            assert_eq!(world.gems(player).await, 5);
        }
    }

    pub(super) async fn caps_and_budget_hold_for_concurrent_settlements(world: World) {
        let invites = world.invites(&json!({
            "milestone": {"event": "e"},
            "inviter": [{"productId": "gems", "quantity": 1}],
            "invited": [{"productId": "gems", "quantity": 1}],
            "per_day": 4, "total": 6, "budget": 25,
        }));
        let (mut inviters, mut all) = (Vec::new(), Vec::new());
        for n in 0..3 {
            let inviter = world.player(&format!("inviter{n}")).await;
            let code = world.code(inviter).await;
            all.extend(world.invited(&code, &format!("p{n}-"), 12).await);
            inviters.push(inviter);
        }
        invites.reach(&all, Timestamp::now()).await.unwrap();
        let settled = settle_all(&invites, 2).await;
        let count = |state| settled.iter().filter(|it| **it == state).count();
        assert_eq!(settled.len(), 36);
        assert_eq!(count(InviteState::Exhausted), 11, "{settled:?}");
        let rows = world.rows().await;
        let numbers: BTreeSet<i64> = rows.iter().filter_map(|row| row.number).collect();
        assert_eq!(numbers, (1..=25).collect(), "the budget, each number once");
        for inviter in &inviters {
            assert!(world.gems(*inviter).await <= 4);
        }
        let mut granted = 0;
        for player in &all {
            granted += world.gems(*player).await;
        }
        assert_eq!(granted, 25);
        assert_eq!(invites.due(Timestamp::now(), 10).await.unwrap(), []);

        // The next day each may have two more, of their total of six.
        let raised = world.invites(&json!({
            "milestone": {"event": "e"},
            "inviter": [{"productId": "gems", "quantity": 1}],
            "per_day": 4, "total": 6,
        }));
        sqlx::query("UPDATE invites SET settled_at = settled_at - 86400000")
            .execute(world.database.pool())
            .await
            .unwrap();
        let before = world.gems(inviters[0]).await;
        let code = world.code(inviters[0]).await;
        let more = world.invited(&code, "more", 8).await;
        raised.reach(&more, Timestamp::now()).await.unwrap();
        let settled = settle_all(&raised, 2).await;
        assert_eq!(settled.len(), 8);
        let gained = world.gems(inviters[0]).await - before;
        assert_eq!(gained, (6 - before).min(4));
    }

    pub(super) async fn farm_on_one_device_is_rewarded_once(world: World) {
        let gems = json!([{"productId": "gems", "quantity": 1}]);
        let config = json!({"milestone": {"event": "e"}, "inviter": gems, "invited": gems});
        let invites = world.invites(&config);
        let farmer = world.player("farmer").await;
        let code = world.code(farmer).await;
        let mut accounts = Vec::new();
        for n in 0..20 {
            let name = format!("farm{n}");
            let account = world
                .sign_in(&name, None, Some(&code), Some("one phone"))
                .await;
            assert!(account.invited);
            accounts.push(account.user.id);
        }
        invites.reach(&accounts, Timestamp::now()).await.unwrap();
        let settled = settle_all(&invites, 2).await;
        let count = |state| settled.iter().filter(|it| **it == state).count();
        assert_eq!(count(InviteState::Rewarded), 1);
        assert_eq!(count(InviteState::Refused), 19);
        assert_eq!(world.gems(farmer).await, 1);
    }
}
