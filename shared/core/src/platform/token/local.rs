//! The access token of a single process, in its memory: the embedded engine's.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use avalon_queue::StoreError;

use super::store::TokenStore;

/// The token of this process alone.
#[derive(Default)]
pub struct LocalTokens(Mutex<State>);

#[derive(Default)]
struct State {
    document: Option<String>,
    lease: Option<(String, Instant)>,
}

impl LocalTokens {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl TokenStore for LocalTokens {
    async fn load(&self) -> Result<Option<String>, StoreError> {
        Ok(self.state().document.clone())
    }

    async fn replace(&self, seen: Option<&str>, new: &str) -> Result<bool, StoreError> {
        let mut state = self.state();
        let is_seen = state.document.as_deref() == seen;
        if is_seen {
            state.document = Some(new.to_owned());
        }
        Ok(is_seen)
    }

    async fn lease(&self, owner: &str, ttl: Duration) -> Result<bool, StoreError> {
        let (mut state, now) = (self.state(), Instant::now());
        let is_taken = state.lease.as_ref().is_some_and(|(_, ends)| *ends > now);
        if !is_taken {
            state.lease = Some((owner.to_owned(), now + ttl));
        }
        Ok(!is_taken)
    }

    async fn release(&self, owner: &str) -> Result<(), StoreError> {
        let mut state = self.state();
        if state.lease.as_ref().is_some_and(|(by, _)| by == owner) {
            state.lease = None;
        }
        Ok(())
    }
}
