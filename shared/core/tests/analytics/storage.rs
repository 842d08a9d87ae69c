//! Writing events: idempotence, contents, and failures of the database.

use std::time::Duration;

use avalon_core::analytics::writer::EventWriter;
use avalon_core::analytics::{EventMetrics, Source};
use avalon_core::storage::config::DatabaseConfig;
use avalon_test_support::TestDatabase;
use prometheus::Registry;
use serde_json::json;
use serde_json::value::RawValue;

use super::{NOON, Store, batch, line, ready};

#[tokio::test]
async fn repeated_events_are_stored_once_across_batches() {
    for store in Store::both().await {
        let first = batch(
            &["ann"],
            vec![line("a", None, NOON, 0), line("b", Some("x"), NOON, 0)],
        );
        store.writer.write(ready(first.clone())).await.unwrap();
        // A repeated job.
        store.writer.write(ready(first)).await.unwrap();
        // A client that sends an event again, and another player with the same event id.
        let again = batch(
            &["ann", "bob"],
            vec![line("b", Some("x"), NOON, 0), line("b", Some("x"), NOON, 1)],
        );
        store.writer.write(ready(again)).await.unwrap();
        assert_eq!(
            store.number("SELECT count(*) FROM analytics_events").await,
            3
        );
        assert_eq!(
            store
                .number("SELECT count(*) FROM analytics_user_days")
                .await,
            2
        );
        assert_eq!(
            (store.counted("stored"), store.counted("duplicate")),
            (3, 3)
        );
    }
}

#[tokio::test]
async fn stored_events_have_the_sent_fields_and_the_profile() {
    for store in Store::both().await {
        sqlx::query(
            "INSERT INTO users (id, open_id, country, city, created_at, updated_at, last_login_at)
             VALUES ('ann', 'o-ann', 'China', 'Shenzhen', 0, 0, 0)",
        )
        .execute(store.database.pool())
        .await
        .unwrap();
        let events = vec![line("a", Some("x"), NOON, 0), line("a", Some("y"), NOON, 1)];
        store
            .writer
            .write(ready(batch(&["ann", "unknown"], events)))
            .await
            .unwrap();
        let row = sqlx::query_as::<_, (String, String, String, String, String, String, i64, i64)>(
            "SELECT open_id, country, city, app_version, platform, source, scene, day
             FROM analytics_events WHERE user_id = 'ann'",
        )
        .fetch_one(store.database.pool())
        .await
        .unwrap();
        let text = |text: &str| text.to_owned();
        let expected = (
            text("o-ann"),
            text("China"),
            text("Shenzhen"),
            text("1.2.3"),
            text("ios"),
            text("client"),
            1001,
            20_000,
        );
        assert_eq!(row, expected);
        let params: String = sqlx::query_scalar(
            "SELECT CAST(params AS TEXT) FROM analytics_events WHERE city IS NULL",
        )
        .fetch_one(store.database.pool())
        .await
        .unwrap();
        let params: serde_json::Value = serde_json::from_str(&params).unwrap();
        assert_eq!(params, json!({"text": "a\\b\n\t\"礼\"", "n": [1, 2.5]}));
    }
}

#[tokio::test]
async fn concurrent_writers_store_each_event_once() {
    for store in Store::both().await {
        let other = EventWriter::spawn(
            store.database.clone(),
            &DatabaseConfig {
                url: store.test_database.url().parse().unwrap(),
                ..DatabaseConfig::default()
            },
            EventMetrics::new(&Registry::new()).unwrap(),
        )
        .unwrap();
        let ids: Vec<String> = (0..40).map(|n| format!("e{n}")).collect();
        let mut tasks = tokio::task::JoinSet::new();
        for round in 0..20usize {
            let writer = if round % 2 == 0 {
                &store.writer
            } else {
                &other
            }
            .clone();
            // Each in another order.
            let mut events: Vec<_> = ids.iter().map(|id| line("a", Some(id), NOON, 0)).collect();
            events.rotate_left(round);
            if round % 3 == 0 {
                events.reverse();
            }
            tasks.spawn(async move { writer.write(ready(batch(&["ann"], events))).await });
        }
        while let Some(written) = tasks.join_next().await {
            written.unwrap().unwrap();
        }
        assert_eq!(
            store.number("SELECT count(*) FROM analytics_events").await,
            40
        );
    }
}

#[tokio::test]
async fn rejected_batch_does_not_affect_others() {
    let store = Store::on(TestDatabase::postgres().await).await;
    let mut bad = line("a", None, NOON, 0);
    // Ingress rejects NUL; here it stands for any defect.
    bad.params = RawValue::from_string(r#"{"a":"\u0000"}"#.to_owned()).unwrap();
    let good = (0..5).map(|_| {
        store
            .writer
            .write(ready(batch(&["ann"], vec![line("a", None, NOON, 0)])))
    });
    let good = futures_util::future::join_all(good);
    let bad = store.writer.write(ready(batch(&["ann"], vec![bad])));
    let (bad, good) = tokio::join!(bad, good);
    assert!(bad.is_err_and(|error| !error.is_transient()));
    assert!(good.iter().all(Result::is_ok), "{good:?}");
    assert_eq!(
        store.number("SELECT count(*) FROM analytics_events").await,
        5
    );
}

#[tokio::test]
async fn missing_table_delays_events_without_loss() {
    let store = Store::on(TestDatabase::postgres().await).await;
    let rename = async |from: &str, to: &str| {
        let sql = format!("ALTER TABLE {from} RENAME TO {to}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
            .execute(store.database.pool())
            .await
            .unwrap();
    };
    rename("analytics_user_days", "elsewhere").await;
    let event = ready(batch(&["ann"], vec![line("a", None, NOON, 0)]));
    let mut writing = std::pin::pin!(store.writer.write(event));
    let waited = tokio::time::timeout(Duration::from_millis(300), &mut writing).await;
    assert!(waited.is_err(), "{waited:?}");
    rename("elsewhere", "analytics_user_days").await;
    writing.await.unwrap();
    assert_eq!(
        store.number("SELECT count(*) FROM analytics_events").await,
        1
    );
}

#[tokio::test]
async fn service_events_do_not_show_presence_except_sign_ins() {
    for store in Store::both().await {
        let mut service = batch(
            &["ann", "bob"],
            vec![
                line("order_refunded", Some("r"), NOON, 0),
                line("signed_in", Some("s"), NOON, 1),
            ],
        );
        service.head.source = Source::Service;
        store.writer.write(ready(service)).await.unwrap();
        assert_eq!(
            store.number("SELECT count(*) FROM analytics_events").await,
            2
        );
        let present: Vec<String> = sqlx::query_scalar("SELECT user_id FROM analytics_user_days")
            .fetch_all(store.database.pool())
            .await
            .unwrap();
        assert_eq!(present, ["bob"]);
    }
}
