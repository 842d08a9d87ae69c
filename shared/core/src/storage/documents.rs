//! The port for small shared state: text documents by key, changed only by compare-and-set, and
//! one-time claims. Sessions, request nonces, the platform's access token and risk ranks use it.
//!
//! A document's meaning and format belong to its owner, and so does its key; engines store both as
//! they are given. Versions of this program that run side by side during an upgrade share them.

mod memory;
mod redis;
mod sql;

use std::time::Duration;

use async_trait::async_trait;

use crate::storage::database::DatabaseError;

pub use memory::MemoryDocuments;
pub use redis::RedisDocuments;
pub use sql::SqlDocuments;

/// An operation of the document store failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DocumentError {
    /// The store is down or too slow; it may recover at any time.
    #[error("the document store is unavailable: {0}")]
    Unavailable(String),
    /// The store rejected the operation, which is a defect.
    #[error("the document store rejected the operation: {0}")]
    Refused(String),
}

impl From<DatabaseError> for DocumentError {
    fn from(error: DatabaseError) -> Self {
        match error.is_transient() {
            true => Self::Unavailable(error.to_string()),
            false => Self::Refused(error.to_string()),
        }
    }
}

impl From<sqlx::Error> for DocumentError {
    fn from(error: sqlx::Error) -> Self {
        DatabaseError::from(error).into()
    }
}

/// A store of documents. A write whose result is an error may have happened all the same. A document may
/// be dropped `ttl` after its last write (`None`: never).
#[async_trait]
pub trait Documents: Send + Sync {
    /// Returns the document.
    ///
    /// # Errors
    /// [`DocumentError`].
    async fn get(&self, key: &str) -> Result<Option<String>, DocumentError>;

    /// Writes `new` if the document is still `seen` (`None`: absent); returns whether it was.
    ///
    /// # Errors
    /// [`DocumentError`].
    async fn replace(
        &self,
        key: &str,
        seen: Option<&str>,
        new: &str,
        ttl: Option<Duration>,
    ) -> Result<bool, DocumentError>;

    /// Removes the document if it is still `seen`; returns whether it was.
    ///
    /// # Errors
    /// [`DocumentError`].
    async fn remove(&self, key: &str, seen: &str) -> Result<bool, DocumentError>;

    /// Writes `new` whatever was there.
    ///
    /// # Errors
    /// [`DocumentError`].
    async fn put(&self, key: &str, new: &str, ttl: Option<Duration>) -> Result<(), DocumentError> {
        loop {
            let seen = self.get(key).await?;
            if self.replace(key, seen.as_deref(), new, ttl).await? {
                return Ok(());
            }
        }
    }

    /// Claims a key for `ttl`; returns `false` if it is claimed already.
    ///
    /// # Errors
    /// [`DocumentError`].
    async fn claim(&self, key: &str, ttl: Duration) -> Result<bool, DocumentError> {
        self.replace(key, None, "1", Some(ttl)).await
    }
}

/// At least 1, since Redis rejects 0.
fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis())
        .unwrap_or(i64::MAX)
        .max(1)
}
