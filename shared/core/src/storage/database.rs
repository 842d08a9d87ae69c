//! The database: SQLite or Postgres, its migrations, and transactions. SQL statements are with the tables
//! that they are about (`users`, `payments`).
//!
//! On Postgres a process has three pools: one for transactions, which may wait for rows that others lock,
//! one for single statements (sign-ins, reads) and the storing of callbacks, which do not wait behind those,
//! and a small one for operators' statistics, which take long. Those must not take connections from players.

mod connections;
mod error;
mod migrations;
mod session;
mod statements;
mod trust;

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::time::Duration;

use sqlx::any::AnyConnectOptions;
use sqlx::{Any, AnyConnection, AnyPool, AssertSqlSafe, Connection, Transaction};

use crate::storage::config::{DatabaseConfig, Dialect};
use connections::Use;
use error::Fault;

pub(crate) use connections::{NETWORK_LIMITS, SESSION_LIMITS};
pub use error::DatabaseError;
pub use session::Session;
pub use statements::Statements;

/// Maximum number of connections of a process for operators' statistics and for counting active players, in
/// addition to `database.max_connections`.
pub const STATISTICS_CONNECTIONS: u32 = 3;

/// The connections of a process. Cheap to clone.
#[derive(Clone)]
pub struct Database {
    /// Single statements, and transactions that wait for no other's rows.
    statements: Statements,
    /// All other transactions; `None`: in the same pool, since SQLite has one writer.
    transactions: Option<AnyPool>,
    /// Operators' statistics; `None`: in the same pool (SQLite).
    statistics: Option<AnyPool>,
    options: AnyConnectOptions,
    dialect: Dialect,
}

/// Connections of this process to the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connections {
    /// Number that is open.
    pub open: u32,
    /// Number that is open and not in use.
    pub idle: u32,
    /// Maximum of `open`.
    pub max: u32,
}

impl Database {
    /// Creates the pools, which connect on first use: while the database is unreachable, statements
    /// return [`DatabaseError::Unavailable`].
    ///
    /// # Errors
    /// When the URL is malformed or the folder of an SQLite file cannot be created.
    pub fn new(config: &DatabaseConfig) -> Result<Self, DatabaseError> {
        sqlx::any::install_default_drivers();
        let dialect = config.url.dialect();
        let mut url = config.url.expose().to_owned();
        if let Some(file) = config.url.sqlite_path() {
            if let Some(folder) = file.parent() {
                create_private_folder(folder).map_err(DatabaseError::Folder)?;
            }
            if !url.contains("mode=") {
                url.push(if url.contains('?') { '&' } else { '?' });
                url.push_str("mode=rwc");
            }
        }
        let options: AnyConnectOptions = url.parse()?;
        let pool = |size, purpose| connections::pool(options.clone(), dialect, size, purpose);
        let max = config.max_connections;
        let (statements, transactions) = if dialect == Dialect::Sqlite || max < 2 {
            (pool(max, Use::Transactions), None)
        } else {
            let size = max / 2;
            (
                pool(max - size, Use::Statements),
                Some(pool(size, Use::Transactions)),
            )
        };
        // Opened only when there are statistics to read.
        let statistics =
            (dialect == Dialect::Postgres).then(|| pool(STATISTICS_CONNECTIONS, Use::Transactions));
        Ok(Self {
            statements: Statements::new(statements, dialect),
            transactions,
            statistics,
            options,
            dialect,
        })
    }

    /// Runs single statements.
    pub fn pool(&self) -> &Statements {
        &self.statements
    }

    /// The SQL dialect.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Counts the connections, without those of statistics.
    pub fn connections(&self) -> Connections {
        let mut all = Connections {
            open: 0,
            idle: 0,
            max: 0,
        };
        for pool in [
            Some(self.statements.connections()),
            self.transactions.as_ref(),
        ]
        .into_iter()
        .flatten()
        {
            let open = pool.size();
            all.open += open;
            all.idle += u32::try_from(pool.num_idle()).unwrap_or(open).min(open);
            all.max += pool.options().get_max_connections();
        }
        all
    }

    /// Begins a transaction that will write. It must be short, and never span a call to another service.
    ///
    /// # Errors
    /// [`DatabaseError::Unavailable`] when no connection is available.
    pub async fn begin(&self) -> Result<Transaction<'static, Any>, DatabaseError> {
        self.begin_on(self.transactions(), self.begin_write()).await
    }

    /// Begins a transaction that will write and never waits for rows that orders lock, so that it does not
    /// wait behind theirs for a connection either.
    ///
    /// # Errors
    /// [`DatabaseError::Unavailable`] when no connection is available.
    pub async fn begin_uncontended(&self) -> Result<Transaction<'static, Any>, DatabaseError> {
        let pool = self.statements.connections();
        self.begin_on(pool, self.begin_write()).await
    }

    /// Begins a transaction that may take as long as it needs: for the copy of a whole database into this one.
    ///
    /// # Errors
    /// [`DatabaseError::Unavailable`] when no connection is available.
    pub async fn begin_copy(&self) -> Result<Transaction<'static, Any>, DatabaseError> {
        let mut transaction = self.begin().await?;
        self.limit(&mut transaction, None).await?;
        Ok(transaction)
    }

    /// Begins a read-only transaction with a consistent snapshot, which may take as long as it needs.
    ///
    /// # Errors
    /// [`DatabaseError::Unavailable`] when no connection is available.
    pub async fn begin_snapshot(&self) -> Result<Transaction<'static, Any>, DatabaseError> {
        let mut transaction = self
            .begin_on(self.transactions(), self.begin_read())
            .await?;
        self.limit(&mut transaction, None).await?;
        Ok(transaction)
    }

    /// Begins a read-only transaction with a consistent snapshot and a statement timeout: for operators'
    /// queries, which may be large and must not hold connections for long. At most [`STATISTICS_CONNECTIONS`] run at
    /// a time on Postgres, on connections of their own.
    ///
    /// # Errors
    /// [`DatabaseError::Unavailable`] when no connection is available.
    pub async fn begin_limited(
        &self,
        limit: Duration,
    ) -> Result<Transaction<'static, Any>, DatabaseError> {
        let pool = self.statistics.as_ref();
        let pool = pool.unwrap_or_else(|| self.transactions());
        let mut transaction = self.begin_on(pool, self.begin_read()).await?;
        self.limit(&mut transaction, Some(limit)).await?;
        Ok(transaction)
    }

    fn transactions(&self) -> &AnyPool {
        let shared = self.statements.connections();
        self.transactions.as_ref().unwrap_or(shared)
    }

    fn begin_write(&self) -> &'static str {
        match self.dialect {
            // Otherwise a transaction that reads first could fail when it writes.
            Dialect::Sqlite => "BEGIN IMMEDIATE",
            Dialect::Postgres => "BEGIN",
        }
    }

    fn begin_read(&self) -> &'static str {
        match self.dialect {
            Dialect::Sqlite => "BEGIN",
            Dialect::Postgres => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        }
    }

    /// Begins a transaction. All do so here.
    async fn begin_on(
        &self,
        pool: &AnyPool,
        begin: &'static str,
    ) -> Result<Transaction<'static, Any>, DatabaseError> {
        let pool = pool.clone();
        // In a task of its own, which continues when the caller is dropped (by a timeout, say). sqlx
        // forgets a BEGIN whose reply is not awaited, and gives the connection to the next user, whose
        // statements would be in a transaction that is never committed.
        let begun = tokio::spawn(async move {
            let begun = pool.begin_with(begin).await;
            let fault = begun.as_ref().err().map(Fault::of);
            if matches!(fault, Some(Fault::Lost | Fault::Outdated)) {
                // BEGIN has no effect that a second one could double.
                trust::revoke();
                return pool.begin_with(begin).await;
            }
            begun
        });
        Ok(begun.await.map_err(|_| sqlx::Error::WorkerCrashed)??)
    }

    /// Limits a transaction's statements instead of the session's limits.
    async fn limit(
        &self,
        transaction: &mut Transaction<'static, Any>,
        limit: Option<Duration>,
    ) -> Result<(), DatabaseError> {
        if self.dialect == Dialect::Postgres {
            let limits = match limit {
                Some(limit) => format!("SET LOCAL statement_timeout = {}", limit.as_millis()),
                None => "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0;
                         SET LOCAL idle_in_transaction_session_timeout = 0"
                    .to_owned(),
            };
            sqlx::raw_sql(AssertSqlSafe(limits))
                .execute(&mut **transaction)
                .await?;
        }
        Ok(())
    }

    /// Migrates the schema. Safe to run from many processes at once, and beside an older version of this
    /// program: migrations expand first and contract in a later version.
    ///
    /// # Errors
    /// [`DatabaseError::Migration`] when a migration fails or was changed after it was applied.
    pub async fn migrate(&self) -> Result<(), DatabaseError> {
        if self.dialect == Dialect::Sqlite {
            let mut connection = self.statements.acquire().await?;
            return migrations::run_on_sqlite(&mut connection).await;
        }
        let mut connection = AnyConnection::connect_with(&self.options).await?;
        connections::prepare(&mut connection, self.dialect).await?;
        let done = migrations::run_on_postgres(&mut connection).await;
        let _ = connection.close().await;
        done
    }

    /// Returns the migrations of this version that were not applied, in order.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn missing_migrations(&self) -> Result<Vec<String>, DatabaseError> {
        let known = migrations::migrator(self.dialect);
        let applied = sqlx::query_scalar("SELECT version FROM _sqlx_migrations WHERE success");
        let applied: Vec<i64> = match applied.fetch_all(self.pool()).await.map_err(Into::into) {
            Ok(applied) => applied,
            // The table does not exist before the first migration.
            Err(DatabaseError::Unavailable(sqlx::Error::Database(error)))
                if error
                    .code()
                    .is_some_and(|code| code == "42P01" || code == "1") =>
            {
                vec![]
            }
            Err(error) => return Err(error),
        };
        let missing = known.iter().filter(|it| !applied.contains(&it.version));
        Ok(missing.map(|it| it.description.to_string()).collect())
    }

    /// Checks that the database responds and accepts writes.
    ///
    /// # Errors
    /// [`DatabaseError::Unavailable`] or [`DatabaseError::ReadOnly`] when it does not.
    pub async fn ping(&self) -> Result<(), DatabaseError> {
        let accepts_writes = match self.dialect {
            Dialect::Sqlite => "SELECT CAST(1 AS BIGINT)",
            // `on` on a standby, and in sessions that were opened while the server was read-only.
            Dialect::Postgres => {
                "SELECT CAST(CASE current_setting('transaction_read_only') WHEN 'off' THEN 1 ELSE 0 END
                             AS BIGINT)"
            }
        };
        let accepts_writes: i64 = sqlx::query_scalar(accepts_writes)
            .fetch_one(self.pool())
            .await?;
        if accepts_writes == 0 {
            trust::revoke();
            return Err(DatabaseError::ReadOnly);
        }
        Ok(())
    }
}

/// Creates a folder that only this user can read; leaves an existing one as it is.
///
/// # Errors
/// When it cannot be created.
pub fn create_private_folder(folder: &Path) -> std::io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
}
