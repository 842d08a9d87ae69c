//! Nonces of signed requests: each is valid once. The sessions of a Redis Cluster's node may outlive the nonces
//! of another one, and nonces may be deleted alone; so there is a marker beside them, and a request that was
//! signed before the marker was written is refused: its nonce may be among those that were lost.

use std::time::Duration;

use jiff::Timestamp;

use super::{SessionError, Sessions};
use crate::base::ids::SessionId;
use crate::storage::documents::{Claim, ClaimTimes};

/// Number of markers. Nonces of one marker are on one node.
const TAGS: u128 = 16;

impl Sessions {
    /// Claims a nonce for a session's request, signed at `at` (Unix seconds by the client's clock).
    ///
    /// # Errors
    /// The store's.
    pub async fn claim_nonce(
        &self,
        session: SessionId,
        nonce: &str,
        at: i64,
        now: Timestamp,
        ttl: Duration,
    ) -> Result<Claim, SessionError> {
        let tag = session.as_ulid().0 % TAGS;
        let key = format!("nonce:{{n{tag}}}:{session}:{nonce}");
        let now = now.as_second();
        let times = ClaimTimes { at, now, ttl };
        Ok(self.store.claim_at(&key, &epoch_of(tag), times).await?)
    }

    /// Writes the markers that are missing. A process that starts does this before its first request, so that
    /// a new installation refuses nothing.
    ///
    /// # Errors
    /// The store's.
    pub async fn begin_nonces(&self, now: Timestamp) -> Result<(), SessionError> {
        for tag in 0..TAGS {
            let epoch = epoch_of(tag);
            self.store.begin_epoch(&epoch, now.as_second()).await?;
        }
        Ok(())
    }
}

fn epoch_of(tag: u128) -> String {
    format!("nonce-epoch:{{n{tag}}}")
}
