//! The table of pushes, on both databases.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that can't go on has failed"
)]

use std::collections::HashSet;

use avalon_core::platform::pushes::{
    self, NewPush, Outcome, PendingPush, PushFilter, PushStatus, PushWriter, Stored,
};
use avalon_core::storage::config::DatabaseConfig;
use avalon_core::storage::database::Database;
use avalon_test_support::TestDatabase;
use avalon_wechat::AppId;
use avalon_wechat::message_push::{
    EncodingAesKey, EncryptedReply, Push, PushCredential, PushCredentials, PushFormat, PushQuery,
    PushReceiver, PushSettings, PushToken,
};
use avalon_wechat::virtual_payment::AppKeys;
use futures_util::future::join_all;
use jiff::Timestamp;
use serde_json::{Value, json};

const KEY: &str = "Qm3xT7vJk2Lw9RzY4NcHs8Pf1DgUa5EoXbV6iKt0MyA";

/// An authentic push of this message.
fn received(message: &str) -> Push {
    let credential = PushCredential {
        name: "main".to_owned(),
        token: PushToken::new("token".into()),
        key: Some(EncodingAesKey::parse(KEY).unwrap()),
    };
    let app_id = AppId::new("wx1");
    let now = Timestamp::now();
    let sealed = EncryptedReply::seal(&credential, &app_id, message, [7; 16], now, "n").unwrap();
    let body = sealed.body(PushFormat::Json);
    let fields: Value = serde_json::from_str(&body).unwrap();
    let query = PushQuery {
        timestamp: Some(fields["TimeStamp"].to_string()),
        nonce: Some("n".to_owned()),
        msg_signature: fields["MsgSignature"].as_str().map(str::to_owned),
        ..PushQuery::default()
    };
    let receiver = PushReceiver::new(PushSettings {
        app_id,
        credentials: PushCredentials::new(vec![credential]).unwrap(),
        allow_plain: false,
        max_skew: None,
    });
    receiver.open(&query, body.as_bytes(), now).unwrap()
}

fn message(number: usize) -> String {
    json!({"Event": "wxa_media_check", "MsgId": format!("\u{0}{number}")}).to_string()
}

fn new(message: &str, outcome: Option<Outcome>) -> NewPush {
    NewPush::new(&received(message), &AppKeys::default(), outcome)
}

async fn open(test: &TestDatabase) -> Database {
    let config = DatabaseConfig {
        url: test.url().parse().unwrap(),
        ..DatabaseConfig::default()
    };
    let database = Database::new(&config).unwrap();
    database.migrate().await.unwrap();
    database
}

fn all() -> PushFilter {
    PushFilter {
        limit: 1000,
        ..PushFilter::default()
    }
}

#[tokio::test]
async fn concurrent_deliveries_of_a_message_are_stored_once() {
    for test in TestDatabase::both().await {
        let database = open(&test).await;
        // Two processes, each message three times to each of them, in opposite orders.
        let writers = [0, 1].map(|_| PushWriter::spawn(database.clone()));
        let deliveries = (0..3).flat_map(|_| (0..40).map(|number| (0, number)));
        let others = (0..3).flat_map(|_| (0..40).rev().map(|number| (1, number)));
        let stored = join_all(deliveries.chain(others).map(|(writer, number)| {
            let writer: &PushWriter = &writers[writer];
            writer.store(new(&message(number), None))
        }))
        .await;
        let ids: HashSet<_> = stored
            .iter()
            .filter_map(|stored| match stored.as_ref().unwrap() {
                Stored::New(id) => Some(id.to_string()),
                Stored::Duplicate => None,
                Stored::Replayed => panic!("an encrypted message is no replay"),
            })
            .collect();
        assert_eq!(ids.len(), 40, "{}", test.url());
        let rows = pushes::list(&database, &all()).await.unwrap();
        let rows: HashSet<_> = rows.iter().map(|push| push.id.to_string()).collect();
        assert_eq!(rows, ids);
    }
}

#[tokio::test]
async fn push_is_pending_until_its_outcome_and_again_when_replayed() {
    for test in TestDatabase::both().await {
        let database = open(&test).await;
        let writer = PushWriter::spawn(database.clone());
        let body = message(1);
        let Stored::New(id) = writer.store(new(&body, None)).await.unwrap() else {
            panic!("not stored");
        };
        writer
            .store(new(&message(2), Some(Outcome::Test)))
            .await
            .unwrap();
        let pending = async || pushes::unprocessed(&database, i64::MAX, 10).await.unwrap();
        let of = |replayed_at| [PendingPush { id, replayed_at }];
        assert_eq!(pending().await, of(None));
        let (push, stored) = pushes::by_id(&database, id).await.unwrap().unwrap();
        assert_eq!((stored, push.status()), (body, PushStatus::Pending));

        pushes::processed(&database, id, Outcome::Stored)
            .await
            .unwrap();
        pushes::processed(&database, id, Outcome::Invalid)
            .await
            .unwrap();
        assert!(pending().await.is_empty());
        let filter = PushFilter {
            status: Some(PushStatus::Processed(Outcome::Stored)),
            ..all()
        };
        let listed = pushes::list(&database, &filter).await.unwrap();
        assert_eq!(listed.len(), 1, "the first outcome stays");
        assert_eq!(listed[0].id, id);

        let now = Timestamp::now();
        assert!(pushes::replay(&database, id, now).await.unwrap());
        assert_eq!(pending().await, of(Some(now.as_millisecond())));
    }
}

#[tokio::test]
async fn only_processed_pushes_are_deleted() {
    for test in TestDatabase::both().await {
        let database = open(&test).await;
        let writer = PushWriter::spawn(database.clone());
        writer.store(new(&message(1), None)).await.unwrap();
        for number in 2..5 {
            let done = new(&message(number), Some(Outcome::Test));
            writer.store(done).await.unwrap();
        }
        let delete = async |before| {
            pushes::delete_processed(&database, before, 2)
                .await
                .unwrap()
        };
        assert_eq!(delete(Timestamp::UNIX_EPOCH).await, 0);
        assert_eq!(delete(Timestamp::MAX).await, 2);
        assert_eq!(delete(Timestamp::MAX).await, 1);
        assert_eq!(delete(Timestamp::MAX).await, 0);
        let left = pushes::list(&database, &all()).await.unwrap();
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].status(), PushStatus::Pending);
    }
}
