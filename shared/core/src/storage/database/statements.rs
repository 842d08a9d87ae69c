//! Single statements outside of transactions. One that met a connection that is dead or outdated is repeated
//! once on a new one if that cannot have two effects: a read, or a statement that was refused before it did
//! anything. So a restart or failover of the server costs no request that only reads.

use std::fmt;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt as _, StreamExt as _, TryFutureExt as _, TryStreamExt as _};
use sqlx::any::{AnyArguments, AnyQueryResult, AnyRow, AnyStatement, AnyTypeInfo};
use sqlx::error::BoxDynError;
use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyPool, Either, Execute, Executor, SqlStr};

use super::error::Fault;
use super::trust;
use crate::storage::config::Dialect;

/// Runs single statements, as `sqlx`'s pool does.
#[derive(Clone)]
pub struct Statements {
    pool: AnyPool,
    dialect: Dialect,
}

impl fmt::Debug for Statements {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Statements").finish_non_exhaustive()
    }
}

impl Statements {
    pub(super) fn new(pool: AnyPool, dialect: Dialect) -> Self {
        Self { pool, dialect }
    }

    /// Returns a connection, for several statements that need the same session.
    ///
    /// # Errors
    /// When no connection is available.
    pub async fn acquire(&self) -> Result<PoolConnection<Any>, sqlx::Error> {
        self.pool.acquire().await
    }

    pub(super) fn connections(&self) -> &AnyPool {
        &self.pool
    }

    /// Whether a failed statement may be run once more, on a new connection.
    fn may_repeat(&self, statement: &Statement, error: &sqlx::Error) -> bool {
        let safe = match Fault::of(error) {
            Fault::Outdated => true,
            Fault::Lost => statement.is_read(),
            Fault::Permanent | Fault::Transient | Fault::Disk => false,
        };
        let repeat = safe && self.dialect == Dialect::Postgres;
        if repeat {
            tracing::debug!(%error, "statement repeated on a new connection");
            trust::revoke();
        }
        repeat
    }
}

/// A statement that can be run twice.
struct Statement {
    sql: SqlStr,
    arguments: Option<AnyArguments>,
    persistent: bool,
}

impl Statement {
    fn of<'q>(mut query: impl Execute<'q, Any>) -> Result<Self, sqlx::Error> {
        Ok(Self {
            arguments: query.take_arguments().map_err(sqlx::Error::Encode)?,
            persistent: query.persistent(),
            sql: query.sql(),
        })
    }

    fn copy(&self) -> Self {
        let arguments = self.arguments.as_ref().map(|ours| {
            let mut arguments = AnyArguments::default();
            arguments.values.0.clone_from(&ours.values.0);
            arguments
        });
        Self {
            sql: self.sql.clone(),
            arguments,
            persistent: self.persistent,
        }
    }

    /// Whether it is one SELECT. Ours call no function that changes anything.
    fn is_read(&self) -> bool {
        let mut lines = self.sql.as_str().lines().map(str::trim_start);
        lines
            .find(|line| !line.is_empty() && !line.starts_with("--"))
            .is_some_and(|line| line.starts_with("SELECT"))
    }
}

impl Execute<'static, Any> for Statement {
    fn sql(self) -> SqlStr {
        self.sql
    }

    fn statement(&self) -> Option<&AnyStatement> {
        None
    }

    fn take_arguments(&mut self) -> Result<Option<AnyArguments>, BoxDynError> {
        Ok(self.arguments.take())
    }

    fn persistent(&self) -> bool {
        self.persistent
    }
}

impl<'c> Executor<'c> for &'c Statements {
    type Database = Any;

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, Result<Either<AnyQueryResult, AnyRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        let statement = Statement::of(query);
        // Collected, so that a repetition yields no row twice.
        async move {
            let statement = statement?;
            let again = statement.copy();
            let all: Result<Vec<_>, _> = self.pool.fetch_many(statement).try_collect().await;
            let all = match all {
                Err(error) if self.may_repeat(&again, &error) => {
                    self.pool.fetch_many(again).try_collect().await?
                }
                done => done?,
            };
            Ok(stream::iter(all.into_iter().map(Ok)))
        }
        .try_flatten_stream()
        .boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxFuture<'e, Result<Option<AnyRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        let statement = Statement::of(query);
        async move {
            let statement = statement?;
            let again = statement.copy();
            match self.pool.fetch_optional(statement).await {
                Err(error) if self.may_repeat(&again, &error) => {
                    self.pool.fetch_optional(again).await
                }
                done => done,
            }
        }
        .boxed()
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [AnyTypeInfo],
    ) -> BoxFuture<'e, Result<AnyStatement, sqlx::Error>>
    where
        'c: 'e,
    {
        self.pool.prepare_with(sql, parameters)
    }
}
