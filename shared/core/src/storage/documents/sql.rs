//! Documents in the database, for the embedded engine: players' sessions and request nonces, each in
//! a table of its own. A SQLite file belongs to one process, so its cache is never behind the table,
//! and a request that is only checked costs no statement.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use moka::Entry;
use moka::future::Cache;
use moka::ops::compute::Op;
use sqlx::Row;

use super::{DocumentError, Documents, millis};
use crate::storage::config::Dialect;
use crate::storage::database::Database;

/// Number of documents in the cache.
const MAX_CACHED: u64 = 10_000;

/// Documents under `sessions:USER` and claims of `nonce:{TAG}:SESSION:NONCE`. Cheap to clone.
#[derive(Clone)]
pub struct SqlDocuments {
    database: Database,
    /// By user, only with SQLite.
    cache: Option<Cache<String, Option<String>>>,
}

type CacheOp = Op<Option<String>>;

impl SqlDocuments {
    /// Stores documents in this database. No other process may change those of a SQLite file.
    pub fn new(database: Database) -> Self {
        let cache = (database.dialect() == Dialect::Sqlite).then(|| Cache::new(MAX_CACHED));
        Self { database, cache }
    }

    /// Runs `work` on a user's row and on the cached row, one at a time for each user. It continues
    /// when the caller is dropped, as its statement would: the cache must not be behind the row.
    async fn in_order<T, F>(
        &self,
        user: &str,
        work: impl FnOnce(Option<Option<String>>) -> F + Send + 'static,
    ) -> Result<T, DocumentError>
    where
        T: Send + 'static,
        F: Future<Output = Result<(T, CacheOp), DocumentError>> + Send,
    {
        let (cache, user) = (self.cache.clone(), user.to_owned());
        let task = tokio::spawn(async move {
            let Some(cache) = cache else {
                return work(None).await.map(|(result, _)| Some(result));
            };
            let mut result = None;
            let entry = cache.entry_by_ref(&user);
            let done = entry.and_try_compute_with(async |entry| {
                let (value, op) = work(entry.map(Entry::into_value)).await?;
                result = Some(value);
                Ok::<_, DocumentError>(op)
            });
            match done.await {
                Ok(_) => Ok(result),
                Err(error) => {
                    // The row is unknown now.
                    cache.invalidate(&user).await;
                    Err(error)
                }
            }
        });
        let crashed = || DocumentError::Refused("the task of a statement crashed".to_owned());
        task.await.map_err(|_| crashed())??.ok_or_else(crashed)
    }

    /// Deletes documents and claims that have expired.
    ///
    /// # Errors
    /// [`DocumentError`].
    pub async fn delete_expired(&self, now: Timestamp) -> Result<(), DocumentError> {
        for statement in [
            "DELETE FROM player_sessions WHERE expires_at <= $1",
            "DELETE FROM request_nonces WHERE expires_at <= $1",
        ] {
            sqlx::query(statement)
                .bind(now.as_millisecond())
                .execute(self.database.pool())
                .await?;
        }
        Ok(())
    }

    async fn read(&self, user: &str) -> Result<Option<String>, DocumentError> {
        let row = sqlx::query("SELECT document FROM player_sessions WHERE user_id = $1")
            .bind(user)
            .fetch_optional(self.database.pool())
            .await?;
        Ok(row.map(|row| row.try_get("document")).transpose()?)
    }

    async fn write(
        &self,
        user: &str,
        seen: Option<&str>,
        new: &str,
        expires_at: Option<i64>,
    ) -> Result<bool, DocumentError> {
        let statement = match seen {
            Some(_) => {
                "UPDATE player_sessions SET document = $2, expires_at = $3
                 WHERE user_id = $1 AND document = $4"
            }
            None => {
                "INSERT INTO player_sessions (user_id, document, expires_at) VALUES ($1, $2, $3)
                 ON CONFLICT (user_id) DO NOTHING"
            }
        };
        let query = sqlx::query(statement).bind(user).bind(new).bind(expires_at);
        let query = match seen {
            Some(seen) => query.bind(seen),
            None => query,
        };
        Ok(query.execute(self.database.pool()).await?.rows_affected() == 1)
    }
}

#[async_trait]
impl Documents for SqlDocuments {
    async fn get(&self, key: &str) -> Result<Option<String>, DocumentError> {
        let user = user_of(key)?;
        let Some(cache) = &self.cache else {
            return self.read(user).await;
        };
        if let Some(document) = cache.get(user).await {
            return Ok(document);
        }
        let (this, id) = (self.clone(), user.to_owned());
        self.in_order(user, async move |cached| match cached {
            Some(document) => Ok((document, Op::Nop)),
            None => {
                let document = this.read(&id).await?;
                Ok((document.clone(), Op::Put(document)))
            }
        })
        .await
    }

    async fn replace(
        &self,
        key: &str,
        seen: Option<&str>,
        new: &str,
        ttl: Option<Duration>,
    ) -> Result<bool, DocumentError> {
        let user = user_of(key)?;
        let (this, id) = (self.clone(), user.to_owned());
        let (seen, new) = (seen.map(str::to_owned), new.to_owned());
        let expires_at = ttl.map(from_now);
        self.in_order(user, async move |_| {
            let written = this.write(&id, seen.as_deref(), &new, expires_at).await?;
            let op = if written {
                Op::Put(Some(new))
            } else {
                Op::Remove
            };
            Ok((written, op))
        })
        .await
    }

    async fn remove(&self, key: &str, seen: &str) -> Result<bool, DocumentError> {
        let user = user_of(key)?;
        let (this, id, seen) = (self.clone(), user.to_owned(), seen.to_owned());
        self.in_order(user, async move |_| {
            let statement = "DELETE FROM player_sessions WHERE user_id = $1 AND document = $2";
            let query = sqlx::query(statement).bind(id).bind(seen);
            let done = query.execute(this.database.pool()).await?;
            Ok((done.rows_affected() == 1, Op::Remove))
        })
        .await
    }

    async fn claim(&self, key: &str, ttl: Duration) -> Result<bool, DocumentError> {
        let parts = key.strip_prefix("nonce:{");
        let parts = parts.and_then(|parts| parts.split_once("}:"));
        let parts = parts.and_then(|(_, claim)| claim.split_once(':'));
        let (session, nonce) = parts.ok_or_else(|| unknown(key))?;
        let claimed = sqlx::query(
            "INSERT INTO request_nonces (session_id, nonce, expires_at) VALUES ($1, $2, $3)
             ON CONFLICT (session_id, nonce) DO NOTHING",
        )
        .bind(session)
        .bind(nonce)
        .bind(from_now(ttl))
        .execute(self.database.pool())
        .await?;
        Ok(claimed.rows_affected() == 1)
    }
}

/// Unix ms.
fn from_now(ttl: Duration) -> i64 {
    Timestamp::now()
        .as_millisecond()
        .saturating_add(millis(ttl))
}

fn user_of(key: &str) -> Result<&str, DocumentError> {
    key.strip_prefix("sessions:").ok_or_else(|| unknown(key))
}

fn unknown(key: &str) -> DocumentError {
    DocumentError::Refused(format!("no table holds {key}"))
}
