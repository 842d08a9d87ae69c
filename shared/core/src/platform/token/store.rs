//! The port to where the access token is kept: one small document, changed by compare-and-set, and a
//! lease on fetching. What the document means is not the store's business.

use std::time::Duration;

use async_trait::async_trait;
use avalon_queue::StoreError;

/// Where the access token of a fleet is kept.
#[async_trait]
pub trait TokenStore: Send + Sync {
    /// The document, if there is one.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn load(&self) -> Result<Option<String>, StoreError>;

    /// Puts `new` in the place of `seen` (none: nothing); `false` when something else is there.
    ///
    /// # Errors
    /// When the store does not answer; it may have done it.
    async fn replace(&self, seen: Option<&str>, new: &str) -> Result<bool, StoreError>;

    /// Takes the lease for `owner` unless somebody has it; it ends by itself after `ttl`.
    ///
    /// # Errors
    /// When the store does not answer; it may have done it.
    async fn lease(&self, owner: &str, ttl: Duration) -> Result<bool, StoreError>;

    /// Gives the lease back, if `owner` has it still.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn release(&self, owner: &str) -> Result<(), StoreError>;
}
