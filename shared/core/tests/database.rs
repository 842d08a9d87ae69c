//! What the rest relies on a database for, on both engines.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that can't go on has failed"
)]

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use avalon_core::config::{Config, Role};
use avalon_core::database::Database;
use avalon_test_support::TestDatabase;

fn open(file: &TestDatabase, connections: &str) -> Database {
    let env = [
        ("AVALON_DATABASE__URL", file.url()),
        ("AVALON_DATABASE__MAX_CONNECTIONS", connections),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()));
    let config = Config::load(None, env.into_iter(), Role::Migrate).unwrap();
    Database::new(&config.database).unwrap()
}

/// Gives some work up when it has had to wait so often.
async fn give_up(work: impl Future<Output = ()>, after: u32) {
    let (mut work, mut waits) = (Box::pin(work), 0);
    poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Pending if waits < after => {
            waits += 1;
            Poll::Pending
        }
        _ => Poll::Ready(()),
    })
    .await;
    // What was sent arrives.
    tokio::time::sleep(Duration::from_millis(20)).await;
}

#[tokio::test]
async fn what_follows_a_transaction_that_was_given_up_anywhere_is_kept() {
    for file in TestDatabase::both().await {
        // The next statement gets the connection that the transaction had.
        let (database, witness) = (open(&file, "1"), open(&file, "1"));
        sqlx::query("CREATE TABLE notes (note BIGINT NOT NULL)")
            .execute(database.pool())
            .await
            .unwrap();
        for after in 0..8 {
            let work = async {
                let mut transaction = database.begin().await.unwrap();
                sqlx::query("INSERT INTO notes VALUES (-1)")
                    .execute(&mut *transaction)
                    .await
                    .unwrap();
                transaction.rollback().await.unwrap();
            };
            give_up(work, after).await;
            sqlx::query("INSERT INTO notes VALUES (1)")
                .execute(database.pool())
                .await
                .unwrap();
        }
        let kept: Vec<i64> = sqlx::query_scalar("SELECT note FROM notes")
            .fetch_all(witness.pool())
            .await
            .unwrap();
        assert_eq!(kept, [1; 8], "{}", file.engine());
    }
}
