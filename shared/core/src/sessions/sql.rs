//! Sessions in the database, for the embedded engine: one process, so a cache in front of the table
//! is never behind it, and a request that is checked costs no statement.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use moka::future::Cache;
use moka::ops::compute::Op;
use sqlx::Row;

use super::player::after;
use super::store::{SessionStore, SessionStoreError};
use crate::database::{Database, DatabaseError};
use crate::ids::{SessionId, UserId};

/// Players whose sessions are kept at hand.
const MOST_CACHED: u64 = 10_000;

/// Sessions in the database. There must be no other process that changes them.
pub struct SqlSessions {
    database: Database,
    at_hand: Cache<UserId, Option<String>>,
}

impl SqlSessions {
    /// Keeps them in this database.
    pub fn new(database: Database) -> Self {
        Self {
            database,
            at_hand: Cache::new(MOST_CACHED),
        }
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
        let loaded = self.at_hand.try_get_with(user, self.read(user)).await;
        loaded.map_err(|error| SessionStoreError::Unavailable(error.to_string()))
    }

    async fn replace(
        &self,
        user: UserId,
        seen: Option<&str>,
        new: &str,
        expires_at: Option<i64>,
    ) -> Result<bool, SessionStoreError> {
        let mut replaced = false;
        let written = async {
            replaced = self.write(user, seen, new, expires_at).await?;
            Ok::<_, SessionStoreError>(match replaced {
                true => Op::Put(Some(new.to_owned())),
                false => Op::Remove,
            })
        };
        // Written while the cache holds the player's entry, so that both change in one order.
        let entry = self.at_hand.entry(user);
        let outcome = entry.and_try_compute_with(|_| written).await;
        if outcome.is_err() {
            self.at_hand.invalidate(&user).await;
        }
        outcome.map(|_| replaced)
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
