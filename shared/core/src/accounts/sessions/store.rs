//! The port behind sessions: one document for each player, replaced as a whole and only when nobody
//! else was faster, and nonces that can be claimed once. What a document says is not known here.

use std::time::Duration;

use async_trait::async_trait;

use crate::base::ids::{SessionId, UserId};

/// The store of sessions did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SessionStoreError {
    /// It is away, or too slow; it may be back at any time.
    #[error("the session store is unavailable: {0}")]
    Unavailable(String),
    /// It refused, which is a defect.
    #[error("the session store refused: {0}")]
    Refused(String),
}

/// Where sessions are kept: Redis, or the database of the embedded engine.
#[async_trait]
pub trait SessionStore: Send + Sync {
    /// The player's document.
    ///
    /// # Errors
    /// [`SessionStoreError`].
    async fn load(&self, user: UserId) -> Result<Option<String>, SessionStoreError>;

    /// Writes a new document if the player's is still `seen`; whether it was. It may be forgotten at
    /// `expires_at` (Unix ms; none: never).
    ///
    /// # Errors
    /// [`SessionStoreError`]; then nobody knows whether it was written.
    async fn replace(
        &self,
        user: UserId,
        seen: Option<&str>,
        new: &str,
        expires_at: Option<i64>,
    ) -> Result<bool, SessionStoreError>;

    /// Takes a nonce of a session for `keep`; `false`: it was taken already.
    ///
    /// # Errors
    /// [`SessionStoreError`].
    async fn claim_nonce(
        &self,
        session: SessionId,
        nonce: &str,
        keep: Duration,
    ) -> Result<bool, SessionStoreError>;
}
