//! A connection that one task holds for as long as it lives, for statements on behalf of many callers: it
//! saves the round trips of taking a connection from a pool and returning it.

use std::time::{Duration, Instant};

use sqlx::any::AnyConnectOptions;
use sqlx::{AnyConnection, Connection};

use super::{Database, DatabaseError, connections, trust};
use crate::storage::config::Dialect;

/// Statements of sessions find rows by keys. A plan that was made while a table was empty, and is used after it
/// has grown, must not read it as a whole.
const BY_KEYS: &str = "SET enable_seqscan = off";

/// Time limit of one use, longer than the server's limit on waiting for a lock. A connection whose server has
/// vanished would otherwise block all callers until TCP gives up.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A connection of its own. Opens on first use, and again after an error.
pub struct Session {
    options: AnyConnectOptions,
    dialect: Dialect,
    /// With the time at which it was opened.
    open: Option<(AnyConnection, Instant)>,
}

impl Database {
    /// Creates a session, which connects on first use.
    pub fn session(&self) -> Session {
        Session {
            options: self.options.clone(),
            dialect: self.dialect,
            open: None,
        }
    }
}

impl Session {
    /// The SQL dialect.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Runs statements. The connection is closed when they fail, take too long or are dropped half-way, so no state of a
    /// failed transaction is left in it. `work` must end its transactions explicitly: one that is merely
    /// dropped stays open until the session is used again.
    ///
    /// # Errors
    /// Those of `work`, and of opening the connection.
    pub async fn run<T, E: From<DatabaseError>>(
        &mut self,
        work: impl AsyncFnOnce(&mut AnyConnection) -> Result<T, E>,
    ) -> Result<T, E> {
        let usable = self
            .open
            .take()
            .filter(|(_, at)| trust::covers(at.elapsed()));
        let (mut connection, opened_at) = match usable {
            Some(open) => open,
            None => {
                let connection = connect(&self.options, self.dialect).await;
                (connection.map_err(DatabaseError::from)?, Instant::now())
            }
        };
        let done = tokio::time::timeout(TIMEOUT, work(&mut connection)).await;
        let done = done.map_err(|_| DatabaseError::from(sqlx::Error::PoolTimedOut))??;
        self.open = Some((connection, opened_at));
        Ok(done)
    }
}

async fn connect(
    options: &AnyConnectOptions,
    dialect: Dialect,
) -> Result<AnyConnection, sqlx::Error> {
    let connecting = async {
        let mut connection = AnyConnection::connect_with(options).await?;
        connections::prepare(&mut connection, dialect).await?;
        if dialect == Dialect::Postgres {
            sqlx::raw_sql(BY_KEYS).execute(&mut connection).await?;
        }
        Ok(connection)
    };
    tokio::time::timeout(connections::ACQUIRE_TIMEOUT, connecting)
        .await
        .map_err(|_| sqlx::Error::PoolTimedOut)?
}
