//! The outbox: each event is forwarded at least once, and stored once.

use std::collections::BTreeSet;

use avalon_core::analytics::outbox::{self, ServiceEvent};
use jiff::Timestamp;
use serde_json::json;

use super::{Store, ready};

#[tokio::test]
async fn claimed_events_are_claimable_again_after_a_crash() {
    for store in Store::both().await {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let later = |seconds: i64| now + jiff::SignedDuration::from_secs(seconds);
        let mut transaction = store.database.begin().await.unwrap();
        for id in ["order_paid:1", "order_paid:2", "order_paid:1"] {
            let event = ServiceEvent {
                id: id.to_owned(),
                user_id: "ann".to_owned(),
                open_id: "o-ann",
                name: "order_paid",
                params: json!({"totalFee": 600}),
            };
            outbox::insert(&mut transaction, &event, now).await.unwrap();
        }
        transaction.commit().await.unwrap();
        let claimed = outbox::claim(&store.database, now, 100)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(claimed.events.len(), 2);
        assert!(
            outbox::claim(&store.database, later(29), 100)
                .await
                .unwrap()
                .is_none()
        );
        let again = outbox::claim(&store.database, later(31), 100)
            .await
            .unwrap()
            .unwrap();
        let ids = again.events.iter().filter_map(|event| event.id.clone());
        let ids: Vec<String> = ids.collect();
        let mut session = store.database.session();
        outbox::delete(&mut session, &ids).await.unwrap();
        assert!(
            outbox::claim(&store.database, later(100), 100)
                .await
                .unwrap()
                .is_none()
        );
        // Forwarded twice, stored once.
        for batch in [claimed, again] {
            store.writer.write(ready(batch)).await.unwrap();
        }
        assert_eq!(
            store
                .number("SELECT count(*) FROM analytics_events WHERE open_id = 'o-ann'")
                .await,
            2
        );
    }
}

#[tokio::test]
async fn held_event_is_claimed_only_after_its_process_died() {
    for store in Store::both().await {
        let (database, now) = (&store.database, Timestamp::now());
        for id in ["forwarded", "discarded", "orphan"] {
            let event = ServiceEvent {
                id: id.to_owned(),
                user_id: "ann".to_owned(),
                open_id: "o",
                name: "signed_in",
                params: json!({}),
            };
            let mut transaction = database.begin().await.unwrap();
            outbox::insert_held(&mut transaction, &event, now)
                .await
                .unwrap();
            transaction.commit().await.unwrap();
        }
        assert!(outbox::claim(database, now, 10).await.unwrap().is_none());
        let forwarded = ["forwarded".to_owned()];
        outbox::delete(&mut database.session(), &forwarded)
            .await
            .unwrap();
        outbox::discard(database, "discarded").await.unwrap();
        let ids = async |at: Timestamp| {
            let batch = outbox::claim(database, at, 10).await.unwrap().unwrap();
            let ids = batch.events.into_iter().map(|event| event.id.unwrap());
            ids.collect::<BTreeSet<_>>()
        };
        // The process of the orphan died.
        let later = now + jiff::SignedDuration::from_secs(60);
        assert_eq!(ids(later).await, BTreeSet::from(["orphan".to_owned()]));
    }
}
