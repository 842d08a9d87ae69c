//! The erasure of a player who buys and reports meanwhile, step by step. Each step is done twice, as by a job that
//! was killed before it learned the result.

use avalon_core::base::ids::ErasureId;
use avalon_core::payments::PaymentError;
use avalon_core::payments::fulfilments::Webhooks;
use avalon_core::personal::erasure::{self, SETTLING};
use avalon_core::personal::{Erasure, ErasureCause, ErasureError, Step, export};
use avalon_test_support::TestDatabase;
use jiff::Timestamp;

use crate::player::{OPEN_ID, Player, UNION_ID};

/// Amounts, states and balances, which must not change.
const SUMS: &str =
    "SELECT (SELECT CAST(sum(total_fee) AS BIGINT) FROM orders WHERE status = 'paid') * 1000000
    + (SELECT CAST(sum(delta) AS BIGINT) FROM inventory_ledger) * 1000
    + (SELECT CAST(sum(quantity) AS BIGINT) FROM inventory)";

async fn state(player: &Player, id: ErasureId) -> Erasure {
    erasure::by_id(&player.database, id).await.unwrap().unwrap()
}

/// Does the next step, twice.
async fn step(player: &Player, id: ErasureId, now: Timestamp) {
    let before = state(player, id).await;
    let first = once(player, &before, now).await;
    assert!(first, "{before:?}");
    if state(player, id).await.step != before.step {
        assert!(!once(player, &before, now).await, "{before:?}");
    }
}

async fn once(player: &Player, erasure: &Erasure, now: Timestamp) -> bool {
    let Player {
        database, keyring, ..
    } = player;
    let identity = erasure::identity(database, keyring, erasure).await.unwrap();
    let done = match (erasure.step, identity) {
        (Step::Waiting, _) => erasure::begin(database, keyring, erasure, now).await,
        (Step::Sessions, _) => {
            let due = now.checked_add(SETTLING).unwrap();
            erasure::advance(database, erasure, Step::Settling, due).await
        }
        (Step::Settling, _) => erasure::advance(database, erasure, Step::Money, now).await,
        (Step::Money, Some(it)) => erasure::erase_money(database, erasure, &it, now).await,
        (Step::Pushes, Some(it)) => erasure::pushes::erase(database, erasure, &it, now).await,
        (Step::Events, _) => erasure::events::erase(database, erasure, now).await,
        (Step::DeadLetters, _) => erasure::advance(database, erasure, Step::Completion, now).await,
        (Step::Completion, _) => erasure::complete(database, erasure, Webhooks::Stored, now).await,
        (step, _) => panic!("{step}"),
    };
    done.unwrap()
}

async fn player_is_erased(test: TestDatabase) {
    let player = Player::on(test).await;
    player.fill().await;
    let paid = player.order("1").await.unwrap();
    player.pay(paid).await;
    let pending = player.order("2").await.unwrap();
    player.report("before").await;
    let places = player.found().await;
    for place in [
        "users.open_id",
        "orders.channel_request",
        "fulfilments.body",
        "pushes.body",
    ] {
        assert!(
            places.iter().any(|found| found.starts_with(place)),
            "{place}: {places:?}"
        );
    }

    let (database, user, now) = (&player.database, player.user.id, Timestamp::now());
    let requested = erasure::request(database, user, ErasureCause::Wechat, now, now).await;
    let id = requested.unwrap().id;
    step(&player, id, now).await;
    // It was in progress, or tries again.
    assert!(matches!(
        player.order("3").await,
        Err(PaymentError::PlayerErased)
    ));
    player.report("during").await;
    step(&player, id, now).await;
    assert_eq!(state(&player, id).await.step, Step::Settling);
    step(&player, id, now).await;
    // One order is pending.
    step(&player, id, now).await;
    let waiting = state(&player, id).await;
    assert_eq!(waiting.step, Step::Money);
    assert!(waiting.due_at > now.as_millisecond());
    player.pay(pending).await;
    let sums = player.number(SUMS).await;
    for next in [
        Step::Pushes,
        Step::Events,
        Step::DeadLetters,
        Step::Completion,
        Step::Notifying,
    ] {
        step(&player, id, now).await;
        assert_eq!(state(&player, id).await.step, next);
    }
    player.report("after").await;
    assert_eq!(player.found().await, Vec::<String>::new());
    assert_eq!(player.number(SUMS).await, sums);
    let counts = "SELECT count(*) FROM analytics_events WHERE event_name = 'level_up'";
    assert_eq!(
        player.number(counts).await,
        3,
        "events are counted as before"
    );
    let pseudonyms = "SELECT count(*) FROM orders WHERE open_id LIKE 'erased:%'";
    assert_eq!(player.number(pseudonyms).await, 2);

    let erased = state(&player, id).await;
    let identity = erasure::identity(database, &player.keyring, &erased).await;
    let body = erasure::webhook_body(&erased, &identity.unwrap().unwrap());
    for part in ["player.erased", OPEN_ID, UNION_ID, &user.to_string()] {
        assert!(body.contains(part), "{body}");
    }
    erasure::notified(database, id, now).await.unwrap();
    assert_eq!(state(&player, id).await.step, Step::Done);
    let sealed = "SELECT count(*) FROM erasures WHERE identity IS NOT NULL";
    assert_eq!(player.number(sealed).await, 0);

    let again = player.sign_in().await;
    assert_ne!(again.id, user, "a later sign-in is a new player");
    assert_eq!(again.nickname, None);
}

#[tokio::test]
async fn erasure_leaves_only_the_pseudonym_on_sqlite() {
    player_is_erased(TestDatabase::sqlite()).await;
}

#[tokio::test]
async fn erasure_leaves_only_the_pseudonym_on_postgres() {
    player_is_erased(TestDatabase::postgres().await).await;
}

#[tokio::test]
async fn erasure_can_be_revoked_until_it_begins() {
    for test in TestDatabase::both().await {
        let player = Player::on(test).await;
        let (database, user, now) = (&player.database, player.user.id, Timestamp::now());
        let later = now.checked_add(SETTLING).unwrap();
        let request = async |due| {
            erasure::request(database, user, ErasureCause::Operator, due, now)
                .await
                .unwrap()
        };
        assert!(matches!(
            erasure::revoke(database, user).await,
            Err(ErasureError::Unknown)
        ));
        let first = request(later).await;
        assert_eq!(request(later).await, first, "one erasure per player");
        assert!(erasure::due(database, now, 10).await.unwrap().is_empty());
        erasure::revoke(database, user).await.unwrap();
        let begun = erasure::begin(database, &player.keyring, &first, now).await;
        assert!(!begun.unwrap(), "it was revoked");

        request(later).await;
        let sooner = request(now).await;
        assert_eq!(sooner.due_at, now.as_millisecond(), "the sooner one counts");
        assert_eq!(
            erasure::due(database, now, 10).await.unwrap(),
            std::slice::from_ref(&sooner)
        );
        assert!(
            erasure::begin(database, &player.keyring, &sooner, now)
                .await
                .unwrap()
        );
        assert!(matches!(
            erasure::revoke(database, user).await,
            Err(ErasureError::Begun)
        ));
    }
}

#[tokio::test]
async fn export_has_every_row_of_the_player_once() {
    for test in TestDatabase::both().await {
        let player = Player::on(test).await;
        player.fill().await;
        for number in 0..3 {
            let order = player.order(&number.to_string()).await.unwrap();
            player.pay(order).await;
        }
        // More than a page.
        for number in 0..501 {
            player.report(&format!("{number:04}")).await;
        }
        let mut rows = std::collections::BTreeMap::<&str, Vec<serde_json::Value>>::new();
        for section in export::SECTIONS {
            let mut after = Some(String::new());
            while let Some(key) = after {
                let page = export::page(&player.database, *section, player.user.id, &key).await;
                let page = page.unwrap();
                rows.entry(section.name).or_default().extend(page.rows);
                after = page.next;
            }
        }
        let count = |name: &str| rows[name].len();
        assert_eq!(
            (count("users"), count("orders"), count("webhooks")),
            (1, 3, 3)
        );
        assert_eq!((count("inventory"), count("inventoryLedger")), (1, 3));
        assert_eq!(
            (count("pushes"), count("auditEvents"), count("activeDays")),
            (121, 1, 1)
        );
        assert_eq!(count("events"), 501);
        assert_eq!(rows["users"][0]["openId"], OPEN_ID);
        assert_eq!(rows["users"][0]["createdAt"].as_str().unwrap().len(), 24);
        assert_eq!(
            rows["events"][500]["params"]["device"],
            crate::player::DEVICE
        );
        let text = serde_json::to_string(&rows).unwrap();
        assert!(!text.contains("sessionKey"), "secrets are not exported");
    }
}
