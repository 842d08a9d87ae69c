//! Days of the events table: created ahead, removed when they are old.

use avalon_core::analytics::{Day, partitions};
use avalon_core::storage::config::Dialect;
use avalon_test_support::TestDatabase;

use super::{DAY_MS, NOON, Store, batch, line, ready};

#[tokio::test]
async fn only_old_days_are_removed() {
    for store in Store::both().await {
        let today = Day::of_ms(NOON);
        partitions::create_ahead(&store.database, today.plus(-1), 3)
            .await
            .unwrap();
        // Created twice, and concurrently.
        let (one, two) = tokio::join!(
            partitions::create_ahead(&store.database, today, 4),
            partitions::create_ahead(&store.database, today, 4),
        );
        one.unwrap();
        two.unwrap();
        let days = [0, 1, 5, 9].map(|ago| line("a", None, NOON - ago * DAY_MS, 0));
        store
            .writer
            .write(ready(batch(&["ann"], days.to_vec())))
            .await
            .unwrap();
        assert_eq!(
            partitions::remove_before(&store.database, today.plus(-4))
                .await
                .unwrap(),
            2
        );
        assert_eq!(
            store.number("SELECT count(*) FROM analytics_events").await,
            2
        );
        assert_eq!(
            partitions::remove_before(&store.database, today.plus(-4))
                .await
                .unwrap(),
            0
        );
        // Presence is stored longer.
        assert_eq!(
            store
                .number("SELECT count(*) FROM analytics_user_days")
                .await,
            4
        );
        if store.database.dialect() == Dialect::Postgres {
            let left = "SELECT count(*) FROM pg_inherits WHERE inhparent = CAST('analytics_events' AS regclass)";
            assert_eq!(store.number(left).await, 5);
        }
    }
}

#[tokio::test]
async fn reader_blocks_dropping_a_day_but_not_creating_one() {
    let store = Store::on(TestDatabase::postgres().await).await;
    let today = Day::of_ms(NOON);
    let one = || ready(batch(&["ann"], vec![line("a", None, NOON, 0)]));
    store.writer.write(one()).await.unwrap();
    // A long read of all events, such as a backup.
    let mut reader = store.database.begin_snapshot().await.unwrap();
    sqlx::query("SELECT count(*) FROM analytics_events")
        .fetch_one(&mut *reader)
        .await
        .unwrap();
    partitions::create_ahead(&store.database, today.plus(1), 3)
        .await
        .unwrap();
    let late = line("a", None, NOON - 9 * DAY_MS, 0);
    let late = store.writer.write(ready(batch(&["ann"], vec![late])));
    late.await.unwrap();
    let dropped = partitions::remove_before(&store.database, today.plus(1)).await;
    assert!(
        dropped.is_err_and(|error| error.is_transient()),
        "a day that is being read is dropped later"
    );
    reader.commit().await.unwrap();
    let dropped = partitions::remove_before(&store.database, today.plus(1)).await;
    assert_eq!(dropped.unwrap(), 2);
    // The writer has that day in its cache; it creates it again.
    store.writer.write(one()).await.unwrap();
    assert_eq!(
        store.number("SELECT count(*) FROM analytics_events").await,
        1
    );
}
