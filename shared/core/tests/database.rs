//! Properties of the database that all stores rely on, on both engines.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that can't go on has failed"
)]

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use avalon_core::storage::config::DatabaseConfig;
use avalon_core::storage::database::{Database, STATISTICS_CONNECTIONS};
use avalon_test_support::TestDatabase;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

fn open(file: &TestDatabase, connections: &str) -> Database {
    open_url(file.url(), connections)
}

fn open_url(url: &str, connections: &str) -> Database {
    let config = DatabaseConfig {
        url: url.parse().unwrap(),
        max_connections: connections.parse().unwrap(),
        ..DatabaseConfig::default()
    };
    Database::new(&config).unwrap()
}

/// Drops a future after it has been pending a number of times.
async fn cancel(work: impl Future<Output = ()>, after: u32) {
    let (mut work, mut waits) = (Box::pin(work), 0);
    poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Pending if waits < after => {
            waits += 1;
            Poll::Pending
        }
        _ => Poll::Ready(()),
    })
    .await;
    // Statements on their way arrive.
    tokio::time::sleep(Duration::from_millis(20)).await;
}

#[tokio::test]
async fn cancelled_snapshot_leaves_no_connection_in_it() {
    for file in TestDatabase::both().await {
        let (database, witness) = (open(&file, "1"), open(&file, "1"));
        sqlx::query("CREATE TABLE notes (note BIGINT NOT NULL)")
            .execute(database.pool())
            .await
            .unwrap();
        for after in 0..8 {
            let work = async {
                let mut transaction = database.begin_snapshot().await.unwrap();
                sqlx::query("SELECT note FROM notes")
                    .fetch_all(&mut *transaction)
                    .await
                    .unwrap();
                transaction.commit().await.unwrap();
            };
            cancel(work, after).await;
            let stored = sqlx::query("INSERT INTO notes VALUES (1)")
                .execute(database.pool())
                .await;
            assert!(stored.is_ok(), "{}: {stored:?}", file.engine());
        }
        let stored: Vec<i64> = sqlx::query_scalar("SELECT note FROM notes")
            .fetch_all(witness.pool())
            .await
            .unwrap();
        assert_eq!(stored, [1; 8], "{}", file.engine());
    }
}

#[tokio::test]
async fn statements_after_a_cancelled_transaction_are_durable() {
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
            cancel(work, after).await;
            sqlx::query("INSERT INTO notes VALUES (1)")
                .execute(database.pool())
                .await
                .unwrap();
        }
        let stored: Vec<i64> = sqlx::query_scalar("SELECT note FROM notes")
            .fetch_all(witness.pool())
            .await
            .unwrap();
        assert_eq!(stored, [1; 8], "{}", file.engine());
    }
}

/// A proxy before Postgres that can hang existing connections, as a firewall that lost its state does. New
/// connections pass.
struct Firewall {
    url: String,
    hangs: watch::Sender<u32>,
}

impl Firewall {
    async fn before(database: &TestDatabase) -> Self {
        let mut url: url::Url = database.url().parse().unwrap();
        let target = (
            url.host_str().unwrap().to_owned(),
            url.port().unwrap_or(5432),
        );
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(socket.local_addr().unwrap().port()))
            .unwrap();
        let (hangs, times) = watch::channel(0);
        tokio::spawn(async move {
            while let Ok((mut client, _)) = socket.accept().await {
                let mut server = TcpStream::connect(target.clone()).await.unwrap();
                let mut times = times.clone();
                times.mark_unchanged();
                tokio::spawn(async move {
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
                        _ = times.changed() => std::future::pending().await,
                    }
                });
            }
        });
        Self {
            url: url.into(),
            hangs,
        }
    }

    fn hang_all(&self) {
        self.hangs.send_modify(|times| *times += 1);
    }
}

#[tokio::test]
async fn hanging_connections_are_replaced_within_seconds() {
    let test_database = TestDatabase::postgres().await;
    let firewall = Firewall::before(&test_database).await;
    let database = open_url(&firewall.url, "4");
    let queries = (0..4).map(|_| sqlx::query("SELECT pg_sleep(0.2)").execute(database.pool()));
    let queries = futures_util::future::join_all(queries).await;
    assert!(queries.iter().all(Result::is_ok), "{queries:?}");

    firewall.hang_all();
    // Requests time out.
    let timeout = Duration::from_millis(300);
    let hanging = (0..4).map(|_| tokio::time::timeout(timeout, database.ping()));
    let hanging = futures_util::future::join_all(hanging).await;
    assert!(hanging.iter().all(Result::is_err), "{hanging:?}");
    // Without our timeout this takes until the kernel drops the connections, a quarter of an hour.
    avalon_test_support::eventually_eq(Duration::from_secs(10), Ok(()), async || {
        database.ping().await.map_err(|error| error.to_string())
    })
    .await;
}

#[tokio::test]
async fn statistics_take_no_connections_from_players() {
    let file = TestDatabase::postgres().await;
    let database = open(&file, "1");
    let limit = Duration::from_secs(5);
    let mut running = Vec::new();
    for _ in 0..STATISTICS_CONNECTIONS {
        running.push(database.begin_limited(limit).await.unwrap());
    }
    let one: i64 = sqlx::query_scalar("SELECT CAST(1 AS BIGINT)")
        .fetch_one(database.pool())
        .await
        .unwrap();
    assert_eq!(one, 1);
    database.begin().await.unwrap().rollback().await.unwrap();
    // One more waits for its own kind, and no longer than others for theirs.
    assert!(database.begin_limited(limit).await.is_err());
    running.pop();
    assert!(database.begin_limited(limit).await.is_ok());
}
