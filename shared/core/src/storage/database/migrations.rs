//! The migrations, and how they are applied beside running processes.
//!
//! A migration waits for a lock only briefly, since statements of players queue behind its wait, and is tried
//! again: a long reader delays the migration, not the players. A file that begins with `-- no-transaction`
//! runs outside of a transaction, for one `CREATE INDEX CONCURRENTLY` or `DROP INDEX CONCURRENTLY`, which
//! block no writer and may wait as long as they need.

use std::time::Duration;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{AnyConnection, AssertSqlSafe, SqlStr};
use tokio::time::Instant;

use super::DatabaseError;
use crate::storage::config::Dialect;

/// Wait for a lock before trying again. Less than the server's `deadlock_timeout` (1 s): who waits for
/// another process's migration must give way to its `CREATE INDEX CONCURRENTLY`.
const LOCK_TIMEOUT: Duration = Duration::from_millis(500);
/// Pause between attempts, in which the statements that queued behind the last one run.
const PAUSE: Duration = Duration::from_millis(500);
/// Time for all attempts. After that the caller decides; a service starts over.
const GIVE_UP_AFTER: Duration = Duration::from_secs(120);

/// First line of a migration that must not run in a transaction.
const NO_TRANSACTION: &str = "-- no-transaction";

macro_rules! migrations {
    ($folder:literal: $($version:literal $name:literal),+ $(,)?) => {
        [$((
            $version,
            $name,
            include_str!(concat!("../../../../../migrations/", $folder, "/", $name, ".sql")),
        )),+]
    };
}

/// The migrations, in order. A file that was released is never changed.
pub(super) fn migrator(dialect: Dialect) -> Migrator {
    let files = match dialect {
        Dialect::Sqlite => migrations!("sqlite":
            1 "0001_users_and_sessions",
            2 "0002_payments",
            3 "0003_player_sessions",
            4 "0004_session_key_versions",
            5 "0005_audit",
            6 "0006_analytics",
            7 "0007_platform_stats",
            8 "0008_retention",
            9 "0009_banned_players",
            14 "0014_pushes",
            15 "0015_rewards",
            16 "0016_boards",
            17 "0017_shares_and_invites",
            18 "0018_messages",
            19 "0019_virtual_payment",
            20 "0020_erasures",
            21 "0021_coin_audits",
            22 "0022_hosted_windows",
            24 "0024_orders_user_status",
        )
        .to_vec(),
        Dialect::Postgres => migrations!("postgres":
            1 "0001_users_and_sessions",
            2 "0002_payments",
            3 "0003_player_sessions",
            4 "0004_session_key_versions",
            5 "0005_audit",
            6 "0006_analytics",
            7 "0007_platform_stats",
            8 "0008_retention",
            9 "0009_banned_players",
            12 "0012_vacuum",
            13 "0013_orders_without_product_locks",
            14 "0014_pushes",
            15 "0015_rewards",
            16 "0016_boards",
            17 "0017_shares_and_invites",
            18 "0018_messages",
            19 "0019_virtual_payment",
            20 "0020_erasures",
            21 "0021_coin_audits",
            22 "0022_hosted_windows",
            23 "0023_room_in_pages",
            24 "0024_orders_user_status",
            25 "0025_drop_orders_bought",
        )
        .to_vec(),
    };
    of(files)
}

fn of(files: Vec<(i64, &'static str, &'static str)>) -> Migrator {
    let migrations = files
        .into_iter()
        .map(|(version, name, sql)| {
            let no_transaction = sql.starts_with(NO_TRANSACTION);
            let sql = SqlStr::from_static(sql);
            Migration::new(
                version,
                name.into(),
                MigrationType::Simple,
                sql,
                no_transaction,
            )
        })
        .collect();
    let mut migrator = Migrator::with_migrations(migrations);
    // A newer version may have migrated during a rolling deployment.
    migrator.set_ignore_missing(true);
    migrator
}

/// Applies what is missing on SQLite, whose file has one process.
pub(super) async fn run_on_sqlite(connection: &mut AnyConnection) -> Result<(), DatabaseError> {
    let migrator = migrator(Dialect::Sqlite);
    let done = migrator.run_direct(None, connection, false).await;
    done.map_err(of_migration)
}

/// Applies what is missing on Postgres, over a connection that is closed afterwards.
pub(super) async fn run_on_postgres(connection: &mut AnyConnection) -> Result<(), DatabaseError> {
    run_all(connection, &migrator(Dialect::Postgres)).await
}

async fn run_all(connection: &mut AnyConnection, migrator: &Migrator) -> Result<(), DatabaseError> {
    let give_up_at = Instant::now() + GIVE_UP_AFTER;
    for migration in migrator.iter() {
        loop {
            let done = run_to(connection, migrator, migration).await;
            match done {
                Ok(()) => break,
                Err(error) if is_in_the_way(&error) && Instant::now() < give_up_at => {
                    tracing::info!(%error, migration = %migration.description, "migration waits for a lock");
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// Applies the migrations up to this one; all but it have been applied.
async fn run_to(
    connection: &mut AnyConnection,
    migrator: &Migrator,
    migration: &Migration,
) -> Result<(), DatabaseError> {
    limit_waits(connection, LOCK_TIMEOUT).await?;
    if migration.no_tx && !is_applied(connection, migration.version).await? {
        drop_invalid_indexes(connection).await?;
        limit_waits(connection, Duration::ZERO).await?;
    }
    let done = migrator
        .run_direct(Some(migration.version), connection, false)
        .await;
    if done.is_err() {
        // It is released only after success.
        sqlx::raw_sql("SELECT pg_advisory_unlock_all()")
            .execute(&mut *connection)
            .await?;
    }
    done.map_err(of_migration)
}

/// Sets how long statements wait for locks; zero: as long as they need. They may run as long as they need.
async fn limit_waits(connection: &mut AnyConnection, wait: Duration) -> Result<(), DatabaseError> {
    let limits = format!(
        "SET lock_timeout = {}; SET statement_timeout = 0",
        wait.as_millis()
    );
    sqlx::raw_sql(AssertSqlSafe(limits))
        .execute(connection)
        .await?;
    Ok(())
}

async fn is_applied(connection: &mut AnyConnection, version: i64) -> Result<bool, DatabaseError> {
    let found: Result<i64, DatabaseError> =
        sqlx::query_scalar("SELECT count(*) FROM _sqlx_migrations WHERE version = $1 AND success")
            .bind(version)
            .fetch_one(connection)
            .await
            .map_err(Into::into);
    match found {
        Ok(found) => Ok(found > 0),
        // The table does not exist before the first migration.
        Err(error) if error.has_code("42P01") => Ok(false),
        Err(error) => Err(error),
    }
}

/// Drops what an interrupted `CREATE INDEX CONCURRENTLY` left: it costs writes and serves no reads.
async fn drop_invalid_indexes(connection: &mut AnyConnection) -> Result<(), DatabaseError> {
    let invalid: Vec<String> = sqlx::query_scalar(
        "SELECT CAST(CAST(i.indexrelid AS regclass) AS TEXT) FROM pg_index i
         JOIN pg_class c ON c.oid = i.indexrelid
         WHERE NOT i.indisvalid AND c.relkind = 'i'
           AND c.relnamespace = CAST(current_schema() AS regnamespace)",
    )
    .fetch_all(&mut *connection)
    .await?;
    for index in invalid {
        let drop = format!("DROP INDEX CONCURRENTLY IF EXISTS {index}");
        sqlx::raw_sql(AssertSqlSafe(drop))
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Whether others hold locks that the migration needs.
fn is_in_the_way(error: &DatabaseError) -> bool {
    ["55P03", "40P01"].iter().any(|code| error.has_code(code))
}

/// Tells a failure of the database from one of the migration.
fn of_migration(error: MigrateError) -> DatabaseError {
    match error {
        MigrateError::Execute(error) => error.into(),
        MigrateError::ExecuteMigration(error, version) => match DatabaseError::from(error) {
            DatabaseError::Refused(error) => {
                DatabaseError::Migration(MigrateError::ExecuteMigration(error, version))
            }
            unavailable => unavailable,
        },
        other => DatabaseError::Migration(other),
    }
}

#[cfg(test)]
mod tests {
    use avalon_test_support::TestDatabase;
    use sqlx::Connection;

    use super::*;

    async fn connect(database: &TestDatabase) -> AnyConnection {
        sqlx::any::install_default_drivers();
        AnyConnection::connect(database.url()).await.unwrap()
    }

    async fn execute(connection: &mut AnyConnection, sql: &'static str) {
        sqlx::raw_sql(sql).execute(connection).await.unwrap();
    }

    #[tokio::test]
    async fn migration_behind_a_reader_blocks_others_only_briefly() {
        let database = TestDatabase::postgres().await;
        let (mut reader, mut player) = (connect(&database).await, connect(&database).await);
        execute(&mut reader, "CREATE TABLE notes (note BIGINT)").await;
        execute(&mut reader, "BEGIN; SELECT note FROM notes").await;
        let mut connection = connect(&database).await;
        let migrating = tokio::spawn(async move {
            let files = vec![(1, "added", "ALTER TABLE notes ADD COLUMN added BIGINT")];
            run_all(&mut connection, &of(files)).await
        });
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(2) {
            let asked = Instant::now();
            execute(&mut player, "SELECT note FROM notes").await;
            assert!(asked.elapsed() < Duration::from_secs(1));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(!migrating.is_finished(), "the reader holds its lock");
        execute(&mut reader, "COMMIT").await;
        migrating.await.unwrap().unwrap();
        execute(&mut player, "SELECT added FROM notes").await;
    }

    #[tokio::test]
    async fn index_is_created_concurrently_by_several_processes() {
        let database = TestDatabase::postgres().await;
        let mut writer = connect(&database).await;
        execute(&mut writer, "CREATE TABLE notes (note BIGINT)").await;
        // What an interrupted migration left.
        execute(&mut writer, "CREATE INDEX notes_note ON notes (note)").await;
        execute(
            &mut writer,
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = CAST('notes_note' AS regclass)",
        )
        .await;
        execute(&mut writer, "BEGIN; INSERT INTO notes VALUES (1)").await;
        let migrating: Vec<_> = (0..3)
            .map(|_| {
                let url = database.url().to_owned();
                tokio::spawn(async move {
                    let mut connection = AnyConnection::connect(&url).await.unwrap();
                    let sql =
                        "-- no-transaction\nCREATE INDEX CONCURRENTLY notes_note ON notes (note)";
                    run_all(&mut connection, &of(vec![(1, "index", sql)])).await
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_secs(2)).await;
        execute(&mut writer, "COMMIT").await;
        for done in migrating {
            done.await.unwrap().unwrap();
        }
        let valid: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_index WHERE indisvalid AND indexrelid = CAST('notes_note' AS regclass)",
        )
        .fetch_one(&mut writer)
        .await
        .unwrap();
        assert_eq!(valid, 1);
    }
}
