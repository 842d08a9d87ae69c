//! The database: one pool for SQLite or Postgres, its migrations, and transactions. SQL statements are
//! with the tables that they are about (`users`, `payments`).

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{Any, AnyPool, AssertSqlSafe, Connection, SqlStr, Transaction};

use crate::storage::config::{DatabaseConfig, Dialect};

/// Time for the ping of a connection that returns to the pool; one that takes longer is closed.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(2);

/// A database operation failed.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The database is down or too slow; it may recover at any time.
    #[error("the database is unavailable: {0}")]
    Unavailable(sqlx::Error),
    /// The database rejected a statement: a defect of the code or the data.
    #[error("the database rejected a statement: {0}")]
    Refused(sqlx::Error),
    /// The schema could not be migrated.
    #[error("the schema could not be migrated: {0}")]
    Migration(MigrateError),
    /// The folder of the SQLite file could not be created.
    #[error("the folder of the SQLite file could not be created: {0}")]
    Folder(std::io::Error),
    /// A stored value is invalid.
    #[error("a stored value is damaged: {0}")]
    Damaged(String),
}

impl DatabaseError {
    /// Whether a retry may succeed.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }

    /// Whether the database returned this error code (SQLSTATE, or SQLite's).
    pub fn has_code(&self, code: &str) -> bool {
        let (Self::Unavailable(error) | Self::Refused(error)) = self else {
            return false;
        };
        error
            .as_database_error()
            .is_some_and(|error| error.code().as_deref() == Some(code))
    }
}

impl From<sqlx::Error> for DatabaseError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::Protocol(_) => Self::Unavailable(error),
            sqlx::Error::Database(reported) => {
                // Postgres: connection failure, shutdown, out of resources, deadlock, read-only
                // standby, lock or statement timeout, disk error. SQLite: busy (5) and locked (6), with
                // their extended codes.
                let transient = reported.code().is_some_and(|code| {
                    ["08", "57P", "53", "40", "25006", "55P03", "57014", "58"]
                        .iter()
                        .any(|class| code.starts_with(class))
                        || matches!(code.as_ref(), "5" | "6" | "261" | "262" | "517" | "518")
                });
                if transient {
                    Self::Unavailable(error)
                } else {
                    Self::Refused(error)
                }
            }
            _ => Self::Refused(error),
        }
    }
}

/// A pool of connections. Cheap to clone.
#[derive(Clone)]
pub struct Database {
    pool: AnyPool,
    dialect: Dialect,
}

impl Database {
    /// Creates the pool, which connects on first use: while the database is unreachable, statements
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
        let pool = AnyPoolOptions::new()
            .max_connections(config.max_connections)
            // A dead connection fails on use, which is retried; a ping each time would cost a round
            // trip.
            .test_before_acquire(false)
            .acquire_timeout(Duration::from_secs(2))
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    if dialect == Dialect::Sqlite {
                        // Durable in a power failure; readers do not wait for the writer.
                        for pragma in [
                            "PRAGMA busy_timeout = 5000",
                            "PRAGMA journal_mode = WAL",
                            "PRAGMA synchronous = FULL",
                            "PRAGMA foreign_keys = ON",
                        ] {
                            sqlx::raw_sql(pragma).execute(&mut *connection).await?;
                        }
                    }
                    Ok(())
                })
            })
            .after_release(move |connection, _| {
                Box::pin(async move {
                    // A connection whose server vanished does not fail for minutes. sqlx pings it too,
                    // and holds its slot in the pool that long.
                    if dialect == Dialect::Postgres {
                        let pong = tokio::time::timeout(RELEASE_TIMEOUT, connection.ping()).await;
                        pong.map_err(|_| sqlx::Error::PoolTimedOut)??;
                    }
                    Ok(true)
                })
            })
            .connect_lazy_with(options);
        Ok(Self { pool, dialect })
    }

    /// Returns the pool, for single statements.
    pub fn pool(&self) -> &AnyPool {
        &self.pool
    }

    /// The SQL dialect.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Begins a transaction that will write. It must be short, and never span a call to another service.
    ///
    /// # Errors
    /// [`DatabaseError::Unavailable`] when no connection is available.
    pub async fn begin(&self) -> Result<Transaction<'static, Any>, DatabaseError> {
        let (pool, dialect) = (self.pool.clone(), self.dialect);
        // In a task of its own, which continues when the caller is dropped (by a timeout, say). sqlx
        // forgets a BEGIN whose reply is not awaited, and gives the connection to the next user, whose
        // statements would be in a transaction that is never committed.
        let begun = tokio::spawn(async move {
            match dialect {
                // Otherwise a transaction that reads first could fail when it writes.
                Dialect::Sqlite => pool.begin_with("BEGIN IMMEDIATE").await,
                Dialect::Postgres => pool.begin().await,
            }
        });
        Ok(begun.await.map_err(|_| sqlx::Error::WorkerCrashed)??)
    }

    /// Begins a read-only transaction with a consistent snapshot.
    ///
    /// # Errors
    /// [`DatabaseError::Unavailable`] when no connection is available.
    pub async fn begin_snapshot(&self) -> Result<Transaction<'static, Any>, DatabaseError> {
        let begin = match self.dialect {
            Dialect::Sqlite => "BEGIN",
            Dialect::Postgres => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        };
        Ok(self.pool.begin_with(begin).await?)
    }

    /// Begins a read-only transaction with a statement timeout: for operators' queries, which may be
    /// large and must not hold connections for long.
    ///
    /// # Errors
    /// [`DatabaseError::Unavailable`] when no connection is available.
    pub async fn begin_limited(
        &self,
        limit: Duration,
    ) -> Result<Transaction<'static, Any>, DatabaseError> {
        let mut transaction = self.begin_snapshot().await?;
        if self.dialect == Dialect::Postgres {
            let limit = format!("SET LOCAL statement_timeout = {}", limit.as_millis());
            sqlx::raw_sql(AssertSqlSafe(limit))
                .execute(&mut *transaction)
                .await?;
        }
        Ok(transaction)
    }

    /// Migrates the schema. Safe to run from many processes at once, and beside an older version of this
    /// program: migrations expand first and contract in a later version.
    ///
    /// # Errors
    /// [`DatabaseError::Migration`] when a migration fails or was changed after it was applied.
    pub async fn migrate(&self) -> Result<(), DatabaseError> {
        migrator(self.dialect)
            .run(&self.pool)
            .await
            .map_err(|error| match error {
                // The database failed, not the migration.
                MigrateError::Execute(error) => error.into(),
                other => DatabaseError::Migration(other),
            })
    }

    /// Returns the migrations of this version that were not applied, in order.
    ///
    /// # Errors
    /// When the database is unavailable.
    pub async fn missing_migrations(&self) -> Result<Vec<String>, DatabaseError> {
        let known = migrator(self.dialect);
        let applied = sqlx::query_scalar("SELECT version FROM _sqlx_migrations WHERE success");
        let applied: Vec<i64> = match applied.fetch_all(&self.pool).await.map_err(Into::into) {
            Ok(applied) => applied,
            // The table does not exist before the first migration.
            Err(DatabaseError::Refused(_)) => vec![],
            Err(error) => return Err(error),
        };
        let missing = known.iter().filter(|it| !applied.contains(&it.version));
        Ok(missing.map(|it| it.description.to_string()).collect())
    }

    /// Checks that the database responds.
    ///
    /// # Errors
    /// [`DatabaseError::Unavailable`] when it does not.
    pub async fn ping(&self) -> Result<(), DatabaseError> {
        sqlx::query("SELECT 1").execute(&self.pool).await?;
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

macro_rules! migrations {
    ($folder:literal: $($version:literal $name:literal),+ $(,)?) => {
        [$((
            $version,
            $name,
            include_str!(concat!("../../../../migrations/", $folder, "/", $name, ".sql")),
        )),+]
    };
}

/// The migrations, in order. A file that was released is never changed.
fn migrator(dialect: Dialect) -> Migrator {
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
            10 "0010_orders_without_product_locks",
        ),
        Dialect::Postgres => migrations!("postgres":
            1 "0001_users_and_sessions",
            2 "0002_payments",
            3 "0003_player_sessions",
            4 "0004_session_key_versions",
            5 "0005_audit",
            6 "0006_analytics",
            7 "0007_platform_stats",
            8 "0008_retention",
            10 "0010_orders_without_product_locks",
        ),
    };
    let migrations = files
        .into_iter()
        .map(|(version, name, sql)| {
            let sql = SqlStr::from_static(sql);
            Migration::new(version, name.into(), MigrationType::Simple, sql, false)
        })
        .collect();
    let mut migrator = Migrator::with_migrations(migrations);
    // A newer version may have migrated during a rolling deployment.
    migrator.set_ignore_missing(true);
    migrator
}
