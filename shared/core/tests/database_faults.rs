//! Faults of the database that must not outlast their cause: connections that died, outdated statements,
//! a server that was read-only, transactions that hold locks, commits that failed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that can't go on has failed"
)]

use std::time::Duration;

use avalon_core::payments::Channel;
use avalon_core::payments::inbox::{CallbackKind, InboxWriter, Received};
use avalon_core::storage::config::DatabaseConfig;
use avalon_core::storage::database::{Database, DatabaseError, Session};
use avalon_test_support::{TestDatabase, eventually};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::time::{Instant, timeout};

const SECOND: Duration = Duration::from_secs(1);

fn open(on: &TestDatabase, connections: u32) -> Database {
    let config = DatabaseConfig {
        url: on.url().parse().unwrap(),
        max_connections: connections,
        ..DatabaseConfig::default()
    };
    Database::new(&config).unwrap()
}

/// A table `notes` with one row, and two idle connections in each pool.
async fn notes(on: &TestDatabase) -> Database {
    let database = open(on, 4);
    run(&database, "CREATE TABLE notes (note INT NOT NULL)")
        .await
        .unwrap();
    run(&database, "INSERT INTO notes VALUES (1)")
        .await
        .unwrap();
    for _ in 0..3 {
        let (first, second) = tokio::join!(database.begin(), database.begin());
        let (third, fourth) = tokio::join!(read(&database), read(&database));
        third.unwrap();
        fourth.unwrap();
        first.unwrap().commit().await.unwrap();
        second.unwrap().commit().await.unwrap();
    }
    settle(&database).await;
    database
}

/// Released connections arrive in the pool.
async fn settle(database: &Database) {
    eventually(Duration::from_secs(10), async || {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let now = database.connections();
        if now.idle == now.open {
            Ok(())
        } else {
            Err(now)
        }
    })
    .await;
}

async fn run(database: &Database, sql: &'static str) -> Result<u64, DatabaseError> {
    Ok(sqlx::query(sql)
        .execute(database.pool())
        .await?
        .rows_affected())
}

async fn read(database: &Database) -> Result<usize, DatabaseError> {
    let rows = sqlx::query("SELECT note FROM notes")
        .fetch_all(database.pool())
        .await?;
    Ok(rows.len())
}

/// A transaction of one statement.
async fn transact(database: &Database) -> Result<(), DatabaseError> {
    let mut transaction = database.begin().await?;
    sqlx::query("SELECT note FROM notes")
        .fetch_one(&mut *transaction)
        .await?;
    sqlx::query("UPDATE notes SET note = note")
        .execute(&mut *transaction)
        .await?;
    Ok(transaction.commit().await?)
}

async fn operator(on: &TestDatabase, sql: &str) {
    let mut connection = PgConnection::connect(on.url()).await.unwrap();
    for sql in ["SET default_transaction_read_only = off", sql] {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
            .execute(&mut connection)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn changed_result_type_fails_no_single_statement() {
    let on = TestDatabase::postgres().await;
    let database = notes(&on).await;
    transact(&database).await.unwrap();
    operator(&on, "ALTER TABLE notes ALTER COLUMN note TYPE BIGINT").await;
    for _ in 0..4 {
        assert_eq!(read(&database).await.unwrap(), 1);
    }
    // A transaction cannot be repeated here, but the next one succeeds.
    for _ in 0..4 {
        transact(&database).await.unwrap();
        settle(&database).await;
    }
    operator(&on, "ALTER TABLE notes ALTER COLUMN note TYPE TEXT").await;
    // At most once on each of the two connections; one that is new has not prepared the statement.
    let mut refused = 0;
    for _ in 0..4 {
        if let Err(error) = transact(&database).await {
            assert!(error.is_transient() && error.has_code("0A000"), "{error}");
            refused += 1;
        }
        settle(&database).await;
    }
    assert!(refused <= 2, "{refused}");
    for _ in 0..4 {
        transact(&database).await.unwrap();
    }
}

#[tokio::test]
async fn lost_prepared_statements_fail_no_statement() {
    let on = TestDatabase::postgres().await;
    let database = notes(&on).await;
    for _ in 0..2 {
        run(&database, "UPDATE notes SET note = note")
            .await
            .unwrap();
    }
    // As a pooler does that gives the session to others.
    let mut connection = database.pool().acquire().await.unwrap();
    sqlx::raw_sql("DEALLOCATE ALL")
        .execute(&mut *connection)
        .await
        .unwrap();
    drop(connection);
    settle(&database).await;
    for _ in 0..4 {
        assert_eq!(
            run(&database, "UPDATE notes SET note = note")
                .await
                .unwrap(),
            1
        );
    }
}

#[tokio::test]
async fn terminated_connections_cost_no_read_and_no_transaction() {
    let on = TestDatabase::postgres().await;
    let database = notes(&on).await;
    let terminate = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                     WHERE datname = current_database() AND pid <> pg_backend_pid()";
    operator(&on, terminate).await;
    settle(&database).await;
    let (first, second) = tokio::join!(read(&database), read(&database));
    assert_eq!((first.unwrap(), second.unwrap()), (1, 1));
    operator(&on, terminate).await;
    settle(&database).await;
    let (first, second) = tokio::join!(transact(&database), transact(&database));
    first.unwrap();
    second.unwrap();
}

#[tokio::test]
async fn terminated_session_costs_one_use_and_a_failed_one_is_left_in_no_transaction() {
    let on = TestDatabase::postgres().await;
    let database = notes(&on).await;
    let mut session = database.session();
    let count = async |session: &mut Session| {
        session
            .run(async |connection| {
                let count = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM notes");
                count
                    .fetch_one(connection)
                    .await
                    .map_err(DatabaseError::from)
            })
            .await
    };
    assert_eq!(count(&mut session).await.unwrap(), 1);
    let terminate = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                     WHERE datname = current_database() AND pid <> pg_backend_pid()";
    operator(&on, terminate).await;
    settle(&database).await;
    assert!(count(&mut session).await.unwrap_err().is_transient());
    assert_eq!(count(&mut session).await.unwrap(), 1);
    // Fails within a transaction that has a lock.
    let failed = session
        .run(async |connection| {
            let mut transaction = connection.begin().await?;
            sqlx::query("UPDATE notes SET note = 2")
                .execute(&mut *transaction)
                .await?;
            sqlx::query("SELECT 1 / 0")
                .execute(&mut *transaction)
                .await?;
            Ok::<_, DatabaseError>(())
        })
        .await;
    assert!(failed.is_err());
    timeout(SECOND, run(&database, "UPDATE notes SET note = 3"))
        .await
        .expect("the lock is released")
        .unwrap();
}

#[tokio::test]
async fn callback_is_stored_after_its_connection_was_terminated() {
    let on = TestDatabase::postgres().await;
    let database = open(&on, 4);
    database.migrate().await.unwrap();
    let inbox = InboxWriter::spawn(database.clone());
    let callback = || Received {
        channel: Channel::WechatPay,
        kind: CallbackKind::Payment,
        headers: "{}".to_owned(),
        body: vec![0, 255],
        verified: true,
    };
    inbox.store(callback()).await.unwrap();
    let terminate = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                     WHERE datname = current_database() AND pid <> pg_backend_pid()";
    operator(&on, terminate).await;
    settle(&database).await;
    inbox.store(callback()).await.unwrap();
    let stored: i64 = sqlx::query_scalar("SELECT count(*) FROM inbox")
        .fetch_one(database.pool())
        .await
        .unwrap();
    assert_eq!(stored, 2);
}

#[tokio::test]
async fn read_only_sessions_end_with_the_read_only_time() {
    let on = TestDatabase::postgres().await;
    notes(&on).await;
    let name = "(SELECT quote_ident(current_database()))";
    let read_only = |value: &str| {
        format!(
            "DO $$ BEGIN EXECUTE 'ALTER DATABASE ' || {name} || ' SET default_transaction_read_only = {value}';
             END $$"
        )
    };
    operator(&on, &read_only("on")).await;
    // Opened while the server is read-only.
    let database = open(&on, 4);
    assert_eq!(read(&database).await.unwrap(), 1);
    let written = run(&database, "UPDATE notes SET note = note").await;
    assert!(written.is_err_and(|error| error.is_transient()));
    assert!(matches!(
        database.ping().await,
        Err(DatabaseError::ReadOnly)
    ));
    assert!(
        transact(&database)
            .await
            .is_err_and(|error| error.is_transient())
    );
    operator(&on, &read_only("off")).await;
    database.ping().await.unwrap();
    run(&database, "UPDATE notes SET note = note")
        .await
        .unwrap();
    transact(&database).await.unwrap();
}

#[tokio::test]
async fn frozen_transaction_delays_others_by_seconds_only() {
    let on = TestDatabase::postgres().await;
    let (frozen, database) = (notes(&on).await, open(&on, 4));
    let mut holder = frozen.begin().await.unwrap();
    sqlx::query("UPDATE notes SET note = note")
        .execute(&mut *holder)
        .await
        .unwrap();
    let begun = Instant::now();
    // More than there are connections for transactions.
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let database = database.clone();
            tokio::spawn(async move { transact(&database).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(300)).await;
    // Sign-ins and callbacks do not wait.
    timeout(SECOND, read(&database)).await.unwrap().unwrap();
    let callback = timeout(SECOND, database.begin_uncontended()).await.unwrap();
    callback.unwrap().commit().await.unwrap();
    let mut done = 0;
    for task in waiting {
        match task.await.unwrap() {
            Ok(()) => done += 1,
            Err(error) => assert!(error.is_transient(), "{error}"),
        }
    }
    assert_eq!(done, 2, "those that had a connection");
    assert!(begun.elapsed() < 7 * SECOND, "{:?}", begun.elapsed());
    assert!(holder.commit().await.is_err());
}

#[tokio::test]
async fn failed_commit_leaves_the_sqlite_pool_usable() {
    let on = TestDatabase::sqlite();
    let database = open(&on, 1);
    for sql in [
        "CREATE TABLE notes (note INT PRIMARY KEY)",
        "CREATE TABLE remarks (note INT REFERENCES notes (note) DEFERRABLE INITIALLY DEFERRED)",
    ] {
        run(&database, sql).await.unwrap();
    }
    for _ in 0..3 {
        let mut transaction = database.begin().await.unwrap();
        sqlx::query("INSERT INTO remarks VALUES (7)")
            .execute(&mut *transaction)
            .await
            .unwrap();
        assert!(transaction.commit().await.is_err());
        settle(&database).await;
        run(
            &database,
            "INSERT INTO notes SELECT coalesce(max(note), 0) + 1 FROM notes",
        )
        .await
        .unwrap();
    }
    let witness = open(&on, 1);
    assert_eq!(read(&witness).await.unwrap(), 3);
}

#[tokio::test]
async fn full_sqlite_file_is_transient_until_there_is_room() {
    let on = TestDatabase::sqlite();
    let database = open(&on, 1);
    run(&database, "CREATE TABLE notes (note BLOB)")
        .await
        .unwrap();
    let mut connection = database.pool().acquire().await.unwrap();
    sqlx::raw_sql("PRAGMA max_page_count = 3")
        .execute(&mut *connection)
        .await
        .unwrap();
    drop(connection);
    settle(&database).await;
    let full = run(&database, "INSERT INTO notes VALUES (zeroblob(100000))").await;
    assert!(full.is_err_and(|error| error.is_transient() && error.has_code("13")));
    settle(&database).await;
    // The limit was the connection's; it is closed.
    run(&database, "INSERT INTO notes VALUES (zeroblob(100000))")
        .await
        .unwrap();
}

#[tokio::test]
async fn missing_table_is_waited_for() {
    for on in TestDatabase::both().await {
        let database = open(&on, 2);
        let missing = run(&database, "SELECT note FROM notes").await;
        assert!(
            missing.is_err_and(|error| error.is_transient()),
            "{}",
            on.engine()
        );
        assert!(!database.missing_migrations().await.unwrap().is_empty());
        let wrong = run(&database, "SELEC note").await;
        assert!(
            wrong.is_err_and(|error| !error.is_transient()),
            "{}",
            on.engine()
        );
    }
}
