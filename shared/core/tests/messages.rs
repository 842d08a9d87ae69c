//! Subscribe messages and scores for the friends ranking, under concurrency, on both databases.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that can't go on has failed"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use avalon_core::base::ids::{MessageId, PushId, UserId};
use avalon_core::social::hosted;
use avalon_core::social::messages::{self, Claim, MessageStatus, NewMessage};
use avalon_core::storage::config::DatabaseConfig;
use avalon_core::storage::database::Database;
use avalon_test_support::TestDatabase;
use avalon_wechat::OpenId;
use avalon_wechat::message_push::{SubscriptionChoice, SubscriptionStatus};
use futures_util::future::join_all;
use jiff::Timestamp;

async fn open(test: &TestDatabase) -> Database {
    let config = DatabaseConfig {
        url: test.url().parse().unwrap(),
        ..DatabaseConfig::default()
    };
    let database = Database::new(&config).unwrap();
    database.migrate().await.unwrap();
    database
}

async fn databases() -> [(TestDatabase, Database); 2] {
    let (sqlite, postgres) = (TestDatabase::sqlite(), TestDatabase::postgres().await);
    let databases = (open(&sqlite).await, open(&postgres).await);
    [(sqlite, databases.0), (postgres, databases.1)]
}

async fn player(database: &Database) -> UserId {
    let user = UserId::new();
    sqlx::query(
        "INSERT INTO users (id, open_id, created_at, updated_at, last_login_at) VALUES ($1, $2, 0, 0, 0)",
    )
    .bind(user.to_string())
    .bind(format!("o{user}"))
    .execute(database.pool())
    .await
    .unwrap();
    user
}

async fn message(database: &Database, user: UserId, key: &str) -> MessageId {
    let new = NewMessage {
        user,
        template_id: "t".to_owned(),
        data: BTreeMap::new(),
        page: None,
        idempotency_key: format!("{user}:{key}"),
        request_digest: key.to_owned(),
        due_at: Timestamp::now(),
    };
    messages::create(database, &new, Timestamp::now())
        .await
        .unwrap()
}

async fn accept(database: &Database, user: UserId, count: usize) {
    for _ in 0..count {
        let templates = ["t".to_owned()];
        messages::accepted_by_client(database, user, &templates, Timestamp::now())
            .await
            .unwrap();
    }
}

async fn left(database: &Database, user: UserId) -> i64 {
    messages::subscriptions(database, user).await.unwrap()[0].left
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_message_per_player_and_none_beyond_the_ledger() {
    for (_test, database) in databases().await {
        let user = player(&database).await;
        accept(&database, user, 3).await;
        let mut ids = Vec::new();
        for key in 0..10 {
            ids.push(message(&database, user, &key.to_string()).await);
        }
        let claim = |id: MessageId| {
            let database = database.clone();
            async move {
                messages::claim(&database, id, 100, Timestamp::now())
                    .await
                    .unwrap()
            }
        };
        let mut sent = 0;
        for _ in 0..10 {
            let claims = join_all(ids.iter().map(|id| claim(*id))).await;
            let sending: Vec<_> = claims
                .into_iter()
                .filter_map(|claim| match claim {
                    Claim::Send(message) => Some(message),
                    _ => None,
                })
                .collect();
            assert!(sending.len() <= 1, "{sending:?}");
            for message in sending {
                messages::sent(&database, message.id, Some("1"))
                    .await
                    .unwrap();
                sent += 1;
            }
        }
        assert_eq!(sent, 3);
        assert_eq!(left(&database, user).await, 0);
        let mut statuses = Vec::new();
        for id in ids {
            statuses.push(
                messages::by_id(&database, id)
                    .await
                    .unwrap()
                    .unwrap()
                    .status,
            );
        }
        let unsubscribed = statuses
            .iter()
            .filter(|it| **it == MessageStatus::Unsubscribed);
        assert_eq!(unsubscribed.count(), 7, "{statuses:?}");
    }
}

#[tokio::test]
async fn acceptance_of_an_unsent_message_is_given_back() {
    for (_test, database) in databases().await {
        let user = player(&database).await;
        accept(&database, user, 2).await;
        let now = Timestamp::now();
        let id = message(&database, user, "a").await;
        let Claim::Send(claimed) = messages::claim(&database, id, 1, now).await.unwrap() else {
            panic!("not claimed");
        };
        messages::not_sent(&database, &claimed, now, now)
            .await
            .unwrap();
        assert_eq!(left(&database, user).await, 2);
        // It counts neither twice nor towards the cap.
        messages::not_sent(&database, &claimed, now, now)
            .await
            .unwrap();
        assert_eq!(left(&database, user).await, 2);
        let again = messages::claim(&database, id, 1, now).await.unwrap();
        assert!(matches!(again, Claim::Send(_)), "{again:?}");
        // A sender that vanished: given up, and late news of it still counts.
        let later = now.checked_add(jiff::SignedDuration::from_secs(1)).unwrap();
        assert_eq!(messages::lose_stuck(&database, later).await.unwrap(), 1);
        messages::sent(&database, id, None).await.unwrap();
        let found = messages::by_id(&database, id).await.unwrap().unwrap();
        assert_eq!(found.status, MessageStatus::Sent);
        let capped = message(&database, user, "b").await;
        let capped = messages::claim(&database, capped, 1, now).await.unwrap();
        assert_eq!(capped, Claim::Not(MessageStatus::Capped));
        assert_eq!(left(&database, user).await, 1);
    }
}

#[tokio::test]
async fn each_push_is_applied_once_and_the_greater_count_counts() {
    for (_test, database) in databases().await {
        let user = player(&database).await;
        let open_id = OpenId::new(format!("o{user}"));
        let accepted = [SubscriptionChoice {
            template_id: "t".to_owned(),
            status: SubscriptionStatus::Accepted,
            popup_scene: None,
        }];
        let apply = async |push: PushId| {
            let now = Timestamp::now();
            messages::apply_push(&database, push, &open_id, &accepted, false, now)
                .await
                .unwrap()
        };
        let push = PushId::new();
        assert!(apply(push).await);
        assert!(!apply(push).await);
        assert_eq!(left(&database, user).await, 1);
        accept(&database, user, 1).await;
        assert_eq!(left(&database, user).await, 1);
        accept(&database, user, 1).await;
        assert_eq!(left(&database, user).await, 2);
        accept(&database, user, 200).await;
        assert_eq!(left(&database, user).await, 100, "a claim without bound");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_intent_is_lost_while_scores_are_written() {
    for (_test, database) in databases().await {
        let user = player(&database).await;
        let intending = {
            let database = database.clone();
            tokio::spawn(async move {
                for score in 1..=200 {
                    let mut transaction = database.begin().await.unwrap();
                    let now = Timestamp::now();
                    hosted::intend(&mut transaction, user, "score", score, now)
                        .await
                        .unwrap();
                    transaction.commit().await.unwrap();
                }
            })
        };
        let (mut latest, mut clock, mut writes) = (0, Timestamp::now(), 0);
        loop {
            let finished = intending.is_finished();
            // Everything becomes due at once.
            clock = clock.max(Timestamp::now()) + Duration::from_secs(2);
            let claimed = hosted::claim(&database, user, clock).await.unwrap();
            let Some(claim) = claimed else {
                if finished {
                    break;
                }
                continue;
            };
            assert_eq!(hosted::claim(&database, user, clock).await.unwrap(), None);
            let intents = hosted::unwritten(&database, &claim).await.unwrap();
            for intent in &intents {
                let score = intent.score.unwrap();
                assert!(score > latest, "{score} after {latest}");
                latest = score;
                writes += 1;
            }
            hosted::written(&database, &claim, &intents, clock)
                .await
                .unwrap();
        }
        assert_eq!(latest, 200, "after {writes} writes");
    }
}

#[tokio::test]
async fn parked_player_is_due_again_only_with_a_newer_key() {
    for (_test, database) in databases().await {
        let user = player(&database).await;
        let mut transaction = database.begin().await.unwrap();
        let now = Timestamp::now();
        hosted::intend(&mut transaction, user, "score", 1, now)
            .await
            .unwrap();
        transaction.commit().await.unwrap();
        let soon = now + Duration::from_secs(2);
        let claim = hosted::claim(&database, user, soon).await.unwrap().unwrap();
        hosted::park(&database, &claim, 1, soon).await.unwrap();
        let version = async |version: i64| {
            sqlx::query("UPDATE users SET session_key_version = $1 WHERE id = $2")
                .bind(version)
                .bind(user.to_string())
                .execute(database.pool())
                .await
                .unwrap();
            hosted::signed_in(&database, &[user, UserId::new()], soon)
                .await
                .unwrap()
        };
        assert_eq!(version(1).await, 0);
        assert_eq!(hosted::due(&database, soon, 10).await.unwrap(), []);
        assert_eq!(version(2).await, 1);
        assert_eq!(hosted::due(&database, soon, 10).await.unwrap(), [user]);
        let claim = hosted::claim(&database, user, soon).await.unwrap().unwrap();
        assert_eq!(claim.parked_version, Some(1));
        // A job that dies loses nothing.
        let later = soon + Duration::from_secs(61);
        assert_eq!(hosted::due(&database, later, 10).await.unwrap(), [user]);
    }
}
