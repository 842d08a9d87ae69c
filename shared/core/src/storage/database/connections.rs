//! Pools: how connections are opened, which limits their sessions have, and when they are closed instead of
//! being used again.

use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{AnyConnection, AnyPool, Connection, Row};

use super::trust;
use crate::storage::config::Dialect;

/// Wait for a free or new connection.
pub(super) const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);
/// Time for the check of a connection that returns to the pool; one that takes longer is closed.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(2);

/// Durable in a power failure; readers do not wait for the writer.
const SQLITE_SETTINGS: &str = "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON";

/// Limits of every session on Postgres. The server ends a transaction whose process is frozen or unreachable
/// after 5 s, which frees its locks; those who wait for them wait a little longer than that.
pub(crate) const SESSION_LIMITS: &str = "SET idle_in_transaction_session_timeout = '5s';
    SET lock_timeout = '7s'; SET statement_timeout = '30s'";

/// The server notices within 25 s that a client's machine is gone, also during a statement. Only where the
/// server and its system support them.
pub(crate) const NETWORK_LIMITS: &str = "SELECT set_config(wanted.name, wanted.value, false)
    FROM (VALUES ('client_connection_check_interval', '5s'), ('tcp_keepalives_idle', '10'),
                 ('tcp_keepalives_interval', '5'), ('tcp_keepalives_count', '3'),
                 ('tcp_user_timeout', '20s')) AS wanted (name, value)
    JOIN pg_settings ON pg_settings.name = wanted.name";

/// Whether the session is inside a transaction that began before this statement. In the simple protocol, a
/// statement outside of one begins its own at the same time.
const IN_TRANSACTION: &str = "SELECT transaction_timestamp() < statement_timestamp()";

/// What the connections of a pool are for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// Single statements.
    Statements,
    /// Transactions; or both.
    Transactions,
}

/// Creates a pool that connects on first use.
pub(super) fn pool(
    options: AnyConnectOptions,
    dialect: Dialect,
    size: u32,
    purpose: Use,
) -> AnyPool {
    AnyPoolOptions::new()
        .max_connections(size)
        // A dead connection fails on use; a ping each time would cost a round trip.
        .test_before_acquire(false)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .after_connect(move |connection, _| Box::pin(prepare(connection, dialect)))
        .before_acquire(|_, opened| Box::pin(async move { Ok(trust::covers(opened.age)) }))
        .after_release(move |connection, opened| {
            Box::pin(async move {
                if !trust::covers(opened.age) || connection.is_in_transaction() {
                    return Ok(false);
                }
                match dialect {
                    Dialect::Sqlite => Ok(leave_sqlite_transaction(connection).await),
                    Dialect::Postgres => {
                        // A connection whose server vanished does not fail for minutes, and holds its slot in
                        // the pool that long.
                        let check = is_idle(connection, purpose);
                        let checked = tokio::time::timeout(RELEASE_TIMEOUT, check).await;
                        checked.map_err(|_| sqlx::Error::PoolTimedOut)?
                    }
                }
            })
        })
        .connect_lazy_with(options)
}

/// Sets what every session has.
pub(super) async fn prepare(
    connection: &mut AnyConnection,
    dialect: Dialect,
) -> Result<(), sqlx::Error> {
    match dialect {
        Dialect::Sqlite => {
            sqlx::raw_sql(SQLITE_SETTINGS).execute(connection).await?;
        }
        Dialect::Postgres => {
            sqlx::raw_sql(SESSION_LIMITS)
                .execute(&mut *connection)
                .await?;
            if let Err(error) = sqlx::raw_sql(NETWORK_LIMITS).execute(connection).await {
                tracing::debug!(%error, "the server's network timeouts were not set");
            }
        }
    }
    Ok(())
}

/// Whether the server sees the session outside of a transaction. A BEGIN whose reply was not awaited, or a
/// COMMIT that failed, leaves it in one that the driver does not know.
async fn is_idle(connection: &mut AnyConnection, purpose: Use) -> Result<bool, sqlx::Error> {
    if purpose == Use::Statements {
        return connection.ping().await.map(|()| true);
    }
    let row = sqlx::raw_sql(IN_TRANSACTION).fetch_one(connection).await?;
    Ok(!row.try_get::<bool, _>(0)?)
}

/// Ends a transaction that the driver does not know; returns whether there was none.
async fn leave_sqlite_transaction(connection: &mut AnyConnection) -> bool {
    // Fails outside of a transaction, which is the rule.
    let left = sqlx::raw_sql("ROLLBACK").execute(connection).await;
    left.is_err_and(|error| {
        error
            .as_database_error()
            .is_some_and(|error| error.message().contains("no transaction is active"))
    })
}
