//! The database: one pool that speaks SQLite or Postgres, its migrations, and transactions. The
//! SQL itself stands with the tables it is about (`users`, `payments`).

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{Any, AnyPool, AssertSqlSafe, Connection, SqlStr, Transaction};

use crate::storage::config::{DatabaseConfig, Dialect};

/// How long a connection that is given back may take to answer; one that takes longer is closed.
const RELEASE_PATIENCE: Duration = Duration::from_secs(2);

/// The database did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// It is away, or too slow; it may be back at any time.
    #[error("the database is unavailable: {0}")]
    Unavailable(sqlx::Error),
    /// A statement failed: a defect of ours, or of the data.
    #[error("the database refused: {0}")]
    Refused(sqlx::Error),
    /// The schema could not be brought up to date.
    #[error("the schema could not be brought up to date: {0}")]
    Migration(MigrateError),
    /// The folder of the SQLite file could not be made.
    #[error("the folder of the SQLite file: {0}")]
    Folder(std::io::Error),
    /// A row holds what it can't hold.
    #[error("a row is damaged: {0}")]
    Damaged(String),
}

impl DatabaseError {
    /// Whether the same statement may succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }

    /// Whether the database answered with this code (SQLSTATE, or SQLite's).
    pub fn has_code(&self, code: &str) -> bool {
        let (Self::Unavailable(error) | Self::Refused(error)) = self else {
            return false;
        };
        error
            .as_database_error()
            .is_some_and(|answer| answer.code().as_deref() == Some(code))
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
            sqlx::Error::Database(answer) => {
                // Postgres: connection trouble, shutdown, out of resources, deadlock, read-only
                // standby, a lock or a statement that took too long, trouble of its disk. SQLite: busy
                // (5) and locked (6), with their extended codes.
                let transient = answer.code().is_some_and(|code| {
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
    /// Sets the pool up. Connects when first used: a database that is absent now makes statements
    /// answer [`DatabaseError::Unavailable`] until it is there.
    ///
    /// # Errors
    /// When the URL is malformed or the folder of an SQLite file can't be made.
    pub fn new(config: &DatabaseConfig) -> Result<Self, DatabaseError> {
        sqlx::any::install_default_drivers();
        let dialect = config.url.dialect();
        let mut url = config.url.expose().to_owned();
        if let Some(file) = config.url.sqlite_path() {
            if let Some(folder) = file.parent() {
                make_private(folder).map_err(DatabaseError::Folder)?;
            }
            if !url.contains("mode=") {
                url.push(if url.contains('?') { '&' } else { '?' });
                url.push_str("mode=rwc");
            }
        }
        let options: AnyConnectOptions = url.parse()?;
        let pool = AnyPoolOptions::new()
            .max_connections(config.max_connections)
            // A connection that died meanwhile is found out by its use, and whoever uses it tries
            // again; asking each time costs a round trip for nothing.
            .test_before_acquire(false)
            .acquire_timeout(Duration::from_secs(2))
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    if dialect == Dialect::Sqlite {
                        // Durable in a power cut; readers do not wait for the writer.
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
                    // A connection whose server has gone without a word answers nothing for minutes.
                    // sqlx asks it too, and keeps its place in the pool for as long.
                    if dialect == Dialect::Postgres {
                        let answer =
                            tokio::time::timeout(RELEASE_PATIENCE, connection.ping()).await;
                        answer.map_err(|_| sqlx::Error::PoolTimedOut)??;
                    }
                    Ok(true)
                })
            })
            .connect_lazy_with(options);
        Ok(Self { pool, dialect })
    }

    /// The pool, for single statements.
    pub fn pool(&self) -> &AnyPool {
        &self.pool
    }

    /// Which SQL it speaks.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Begins a transaction that will write. Keep it short, and never hold one across a call to
    /// somebody else.
    ///
    /// # Errors
    /// [`DatabaseError::Unavailable`] when there is no connection to be had.
    pub async fn begin(&self) -> Result<Transaction<'static, Any>, DatabaseError> {
        let (pool, dialect) = (self.pool.clone(), self.dialect);
        // In a task of its own, which goes on when the caller is dropped (its time is over, say). sqlx
        // forgets a BEGIN whose answer nobody waits for, and gives the connection to the next user,
        // whose statements would be in a transaction that nobody commits.
        let begun = tokio::spawn(async move {
            match dialect {
                // One that reads first and then writes could otherwise fail in the middle.
                Dialect::Sqlite => pool.begin_with("BEGIN IMMEDIATE").await,
                Dialect::Postgres => pool.begin().await,
            }
        });
        Ok(begun.await.map_err(|_| sqlx::Error::WorkerCrashed)??)
    }

    /// Begins a transaction that only reads, and sees the data of one moment however long it takes.
    ///
    /// # Errors
    /// [`DatabaseError::Unavailable`] when there is no connection to be had.
    pub async fn begin_snapshot(&self) -> Result<Transaction<'static, Any>, DatabaseError> {
        let begin = match self.dialect {
            Dialect::Sqlite => "BEGIN",
            Dialect::Postgres => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        };
        Ok(self.pool.begin_with(begin).await?)
    }

    /// Begins a transaction that only reads, whose statements the database itself gives up after
    /// `limit`: for what operators ask, which may be much and must not keep connections for long.
    ///
    /// # Errors
    /// [`DatabaseError::Unavailable`] when there is no connection to be had.
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

    /// Brings the schema up to date. Safe to run from many processes at once, and next to an older
    /// version of this program: migrations expand first and contract in a later version.
    ///
    /// # Errors
    /// [`DatabaseError::Migration`] when a migration fails or was changed after it was applied.
    pub async fn migrate(&self) -> Result<(), DatabaseError> {
        migrator(self.dialect)
            .run(&self.pool)
            .await
            .map_err(|error| match error {
                // The database itself, not the migration: it may be back at any time.
                MigrateError::Execute(error) => error.into(),
                other => DatabaseError::Migration(other),
            })
    }

    /// The migrations that this version knows and the database has not seen, in order.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn missing_migrations(&self) -> Result<Vec<String>, DatabaseError> {
        let known = migrator(self.dialect);
        let applied = sqlx::query_scalar("SELECT version FROM _sqlx_migrations WHERE success");
        let applied: Vec<i64> = match applied.fetch_all(&self.pool).await.map_err(Into::into) {
            Ok(applied) => applied,
            // Nothing was ever applied: there is no such table.
            Err(DatabaseError::Refused(_)) => vec![],
            Err(error) => return Err(error),
        };
        let missing = known.iter().filter(|it| !applied.contains(&it.version));
        Ok(missing.map(|it| it.description.to_string()).collect())
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// [`DatabaseError::Unavailable`] when it does not.
    pub async fn ping(&self) -> Result<(), DatabaseError> {
        sqlx::query("SELECT 1").execute(&self.pool).await?;
        Ok(())
    }
}

/// Makes a folder for data that only this user may read; leaves one that is there as it is.
///
/// # Errors
/// When it can't be made.
pub fn make_private(folder: &Path) -> std::io::Result<()> {
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
    // A newer version may have been here during a rolling deployment.
    migrator.set_ignore_missing(true);
    migrator
}
