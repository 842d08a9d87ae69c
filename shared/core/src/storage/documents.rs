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
pub use redis::{RedisDocuments, TrackedDocuments};
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

/// Outcome of a [claim](Documents::claim_at).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The key was free.
    Claimed,
    /// The key is claimed already.
    Taken,
    /// The store may have lost claims of that time.
    MaybeLost,
}

/// When something is claimed, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct ClaimTimes {
    /// Time of the request that claims, Unix seconds by its sender's clock.
    pub at: i64,
    /// Unix seconds by our clock.
    pub now: i64,
    /// Lifetime of the claim.
    pub ttl: Duration,
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

    /// As [`Documents::claim`], for a request that was made at a time when claims may have been lost since.
    /// `epoch` is the key of a marker beside the claim, which is lost with it. Engines whose claims are as
    /// durable as their documents need none.
    ///
    /// # Errors
    /// [`DocumentError`].
    async fn claim_at(
        &self,
        key: &str,
        _epoch: &str,
        times: ClaimTimes,
    ) -> Result<Claim, DocumentError> {
        Ok(match self.claim(key, times.ttl).await? {
            true => Claim::Claimed,
            false => Claim::Taken,
        })
    }

    /// Writes the marker if there is none: claims of requests from `now` (Unix seconds) on are not lost.
    ///
    /// # Errors
    /// [`DocumentError`].
    async fn begin_epoch(&self, _epoch: &str, _now: i64) -> Result<(), DocumentError> {
        Ok(())
    }
}

/// At least 1, since Redis rejects 0.
fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis())
        .unwrap_or(i64::MAX)
        .max(1)
}
