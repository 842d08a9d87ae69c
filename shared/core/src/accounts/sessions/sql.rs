//! Sessions in the database, for the embedded engine. A SQLite file is one process' alone, so what is
//! at hand of it is never behind it, and a request that is checked costs no statement.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use moka::Entry;
use moka::future::Cache;
use moka::ops::compute::Op;
use sqlx::Row;

use super::player::after;
use super::store::{SessionStore, SessionStoreError};
use crate::base::ids::{SessionId, UserId};
use crate::storage::config::Dialect;
use crate::storage::database::{Database, DatabaseError};

/// Players whose sessions are kept at hand.
const MOST_CACHED: u64 = 10_000;

/// Sessions in the database. Cheap to clone.
#[derive(Clone)]
pub struct SqlSessions {
    database: Database,
    /// Only of SQLite, which one process has to itself.
    at_hand: Option<Cache<UserId, Option<String>>>,
}

/// What becomes of a player's document at hand.
type Change = Op<Option<String>>;

impl SqlSessions {
    /// Keeps them in this database. Of a SQLite file there must be no other process that changes
    /// them.
    pub fn new(database: Database) -> Self {
        let at_hand = (database.dialect() == Dialect::Sqlite).then(|| Cache::new(MOST_CACHED));
        Self { database, at_hand }
    }

    /// Does something to a player's row and to what is at hand of it, one after the other for each
    /// player. It goes on when the caller is dropped, whose statement would: what is at hand must not
    /// be behind the row.
    async fn in_order<T, F>(
        &self,
        user: UserId,
        work: impl FnOnce(Option<Option<String>>) -> F + Send + 'static,
    ) -> Result<T, SessionStoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<(T, Change), SessionStoreError>> + Send,
    {
        let at_hand = self.at_hand.clone();
        let task = tokio::spawn(async move {
            let Some(at_hand) = at_hand else {
                return work(None).await.map(|(answer, _)| Some(answer));
            };
            let mut answer = None;
            let done = at_hand.entry(user).and_try_compute_with(async |entry| {
                let (told, change) = work(entry.map(Entry::into_value)).await?;
                answer = Some(told);
                Ok::<_, SessionStoreError>(change)
            });
            match done.await {
                Ok(_) => Ok(answer),
                Err(error) => {
                    // Nobody knows what the row is now.
                    at_hand.invalidate(&user).await;
                    Err(error)
                }
            }
        });
        let crashed = || SessionStoreError::Refused("a statement's task crashed".to_owned());
        task.await.map_err(|_| crashed())??.ok_or_else(crashed)
    }

    /// Removes what nobody asks for any more: documents and nonces whose time is over.
    ///
    /// # Errors
    /// [`SessionStoreError`].
    pub async fn forget_expired(&self, now: Timestamp) -> Result<(), SessionStoreError> {
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

    async fn read(&self, user: UserId) -> Result<Option<String>, SessionStoreError> {
        let row = sqlx::query("SELECT document FROM player_sessions WHERE user_id = $1")
            .bind(user.to_string())
            .fetch_optional(self.database.pool())
            .await?;
        Ok(row.map(|row| row.try_get("document")).transpose()?)
    }

    async fn write(
        &self,
        user: UserId,
        seen: Option<&str>,
        new: &str,
        expires_at: Option<i64>,
    ) -> Result<bool, SessionStoreError> {
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
        let query = sqlx::query(statement)
            .bind(user.to_string())
            .bind(new.to_owned())
            .bind(expires_at);
        let query = match seen {
            Some(seen) => query.bind(seen.to_owned()),
            None => query,
        };
        Ok(query.execute(self.database.pool()).await?.rows_affected() == 1)
    }
}

#[async_trait]
impl SessionStore for SqlSessions {
    async fn load(&self, user: UserId) -> Result<Option<String>, SessionStoreError> {
        let Some(at_hand) = &self.at_hand else {
            return self.read(user).await;
        };
        if let Some(document) = at_hand.get(&user).await {
            return Ok(document);
        }
        let this = self.clone();
        let loaded = self.in_order(user, async move |current| match current {
            Some(document) => Ok((document, Op::Nop)),
            None => {
                let document = this.read(user).await?;
                Ok((document.clone(), Op::Put(document)))
            }
        });
        loaded.await
    }

    async fn replace(
        &self,
        user: UserId,
        seen: Option<&str>,
        new: &str,
        expires_at: Option<i64>,
    ) -> Result<bool, SessionStoreError> {
        let this = self.clone();
        let (seen, new) = (seen.map(str::to_owned), new.to_owned());
        let replaced = self.in_order(user, async move |_| {
            match this.write(user, seen.as_deref(), &new, expires_at).await? {
                true => Ok((true, Op::Put(Some(new)))),
                false => Ok((false, Op::Remove)),
            }
        });
        replaced.await
    }

    async fn claim_nonce(
        &self,
        session: SessionId,
        nonce: &str,
        keep: Duration,
    ) -> Result<bool, SessionStoreError> {
        let claimed = sqlx::query(
            "INSERT INTO request_nonces (session_id, nonce, expires_at) VALUES ($1, $2, $3)
             ON CONFLICT (session_id, nonce) DO NOTHING",
        )
        .bind(session.to_string())
        .bind(nonce.to_owned())
        .bind(after(Timestamp::now(), keep))
        .execute(self.database.pool())
        .await?;
        Ok(claimed.rows_affected() == 1)
    }
}

impl From<DatabaseError> for SessionStoreError {
    fn from(error: DatabaseError) -> Self {
        match error.is_transient() {
            true => Self::Unavailable(error.to_string()),
            false => Self::Refused(error.to_string()),
        }
    }
}

impl From<sqlx::Error> for SessionStoreError {
    fn from(error: sqlx::Error) -> Self {
        DatabaseError::from(error).into()
    }
}
