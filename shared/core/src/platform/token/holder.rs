//! The state of the access token in one process: refreshes under the lease, changes of the document, and
//! the last token for when the store is unavailable.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use avalon_wechat::{
    AccessToken, AccessTokenError, ErrorClass, FetchedToken, TokenMode, WechatClient, WechatError,
};
use jiff::Timestamp;

use super::metrics::FetchOutcome;
use super::record::{Held, Record, TokenSealer};
use super::{Timing, TokenMetrics};
use crate::storage::documents::{DocumentError, Documents};

/// The state.
const DOCUMENT: &str = "{access_token}:document";
/// Name of the process that fetches.
const LEASE: &str = "{access_token}:lease";
/// Longer than a token is valid and than forced renewals are counted.
const DOCUMENT_TTL: Duration = Duration::from_secs(2 * 24 * 3600);
/// Attempts of a compare-and-set; so many conflicts are a defect, not contention.
const MAX_TRIES: usize = 10;
/// Fetches in a row whose token is refused before it is stored.
const MAX_ROUNDS: usize = 3;

pub(super) struct Holder {
    pub(super) wechat: WechatClient,
    pub(super) store: Arc<dyn Documents>,
    pub(super) sealer: TokenSealer,
    pub(super) timing: Timing,
    pub(super) metrics: TokenMetrics,
    /// The last token that this process used, for when the store is unavailable.
    pub(super) last: Mutex<Option<Held>>,
}

pub(super) type Refresh = tokio::task::JoinHandle<Result<AccessToken, AccessTokenError>>;

impl Holder {
    /// Fetches in a task of its own, which continues when the caller gives up; `None` while another
    /// process fetches.
    pub(super) async fn start_refresh(self: &Arc<Self>) -> Result<Option<Refresh>, DocumentError> {
        let owner = format!("{:032x}", fastrand::u128(..));
        let ttl = Some(self.timing.lease);
        if !self.store.replace(LEASE, None, &owner, ttl).await? {
            return Ok(None);
        }
        let holder = Arc::clone(self);
        Ok(Some(tokio::spawn(async move {
            let result = holder.refresh().await;
            if let Err(error) = holder.store.remove(LEASE, &owner).await {
                tracing::debug!(%error, "cannot release the lease of the access token, it will expire");
            }
            result
        })))
    }

    /// Fetches a token and stores it. Requires the lease.
    async fn refresh(&self) -> Result<AccessToken, AccessTokenError> {
        for _ in 0..MAX_ROUNDS {
            let (_, record) = self.load().await.map_err(unavailable)?;
            let requested_at = Timestamp::now();
            // Another process may have finished just before.
            if let Some(held) = self.usable(&record, requested_at)
                && held.renew_at > requested_at
            {
                return Ok(held.token);
            }
            let mut fetched = self.fetch(TokenMode::Normal).await?;
            let mut outcome = match self.sealer.open(&record) {
                Some(held) if held.token == fetched.token => FetchOutcome::Unchanged,
                _ => FetchOutcome::Renewed,
            };
            let mut is_last = false;
            if record.has_refused(&fetched.token) {
                // WeChat still issues the token that it refuses. Only a forced renewal helps; without
                // one, the token that WeChat calls current is the best there is.
                match self.force().await? {
                    Some(forced) => (fetched, outcome) = (forced, FetchOutcome::Forced),
                    None => (is_last, outcome) = (true, FetchOutcome::Unchanged),
                }
            }
            let held = Held::new(&fetched, requested_at, &self.timing);
            let sealed = self.sealer.seal(&held).map_err(unavailable)?;
            let stored = self
                .update(|record| {
                    // It may have been refused in the meantime.
                    let is_good = is_last || !record.has_refused(&held.token);
                    if is_good {
                        record.store(&held.token, sealed.clone());
                    }
                    is_good
                })
                .await
                .map_err(unavailable)?;
            if stored {
                self.metrics.refreshed(outcome);
                tracing::info!(outcome = outcome.as_ref(), expires_in = ?fetched.expires_in, "fetched the access token");
                self.remember(&held);
                return Ok(held.token);
            }
        }
        // Each token that WeChat issues is refused at once.
        self.back_off(ErrorClass::Misconfigured).await;
        Err(AccessTokenError::BackingOff {
            class: ErrorClass::Misconfigured,
        })
    }

    /// Forces a renewal; `None` if that is not allowed now.
    async fn force(&self) -> Result<Option<FetchedToken>, AccessTokenError> {
        let now = Timestamp::now();
        // Counted before the call, so that a crash cannot lose the count.
        let allowed = self.update(|record| record.take_force(now)).await;
        if !allowed.map_err(unavailable)? {
            tracing::error!(
                "WeChat issues an access token that it refuses, and no forced renewal is left or allowed now: still using it"
            );
            return Ok(None);
        }
        // A failure is logged already; the existing token is used then.
        Ok(self.fetch(TokenMode::Forced).await.ok())
    }

    async fn fetch(&self, mode: TokenMode) -> Result<FetchedToken, AccessTokenError> {
        match self.wechat.stable_token(mode).await {
            Ok(fetched) => Ok(fetched),
            Err(error) => {
                self.metrics.refreshed(FetchOutcome::Failed);
                log_failure(&error);
                self.back_off(error.class()).await;
                Err(AccessTokenError::Fetch(Box::new(error)))
            }
        }
    }

    /// Stops the fleet from fetching for a while after a failure.
    async fn back_off(&self, class: ErrorClass) {
        let now = Timestamp::now();
        let recorded = self.update(|record| {
            record.back_off(class, now);
            true
        });
        if let Err(error) = recorded.await {
            tracing::debug!(%error, "cannot record the failed fetch of an access token");
        }
    }

    pub(super) async fn load(&self) -> Result<(Option<String>, Record), DocumentError> {
        let text = self.store.get(DOCUMENT).await?;
        let record = text.as_deref().map(Record::read).unwrap_or_default();
        Ok((text, record))
    }

    /// Changes the document by compare-and-set; returns `false` if `change` changed nothing.
    pub(super) async fn update(
        &self,
        mut change: impl FnMut(&mut Record) -> bool,
    ) -> Result<bool, DocumentError> {
        for _ in 0..MAX_TRIES {
            let (text, mut record) = self.load().await?;
            if !change(&mut record) {
                return Ok(false);
            }
            let new = record.write()?;
            let (seen, ttl) = (text.as_deref(), Some(DOCUMENT_TTL));
            if self.store.replace(DOCUMENT, seen, &new, ttl).await? {
                return Ok(true);
            }
        }
        Err(DocumentError::Unavailable(
            "too many concurrent changes of the access token".to_owned(),
        ))
    }

    /// Returns the token of the document if it is valid for a call, and remembers it.
    pub(super) fn usable(&self, record: &Record, now: Timestamp) -> Option<Held> {
        let held = self.sealer.open(record)?;
        if held.left(now) <= self.timing.margin {
            return None;
        }
        self.remember(&held);
        Some(held)
    }

    fn remember(&self, held: &Held) {
        self.metrics.used(held.ends_at);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(held.clone());
    }

    pub(super) fn forget(&self, token: &AccessToken) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_ref().is_some_and(|held| held.token == *token) {
            *last = None;
        }
    }

    pub(super) fn recall(&self) -> Option<AccessToken> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let held = last.as_ref()?;
        if held.left(Timestamp::now()) <= self.timing.margin {
            return None;
        }
        self.metrics.used(held.ends_at);
        Some(held.token.clone())
    }
}

/// Logs a failure; as an error if an operator has to act.
fn log_failure(error: &WechatError) {
    if error.class() == ErrorClass::Misconfigured {
        tracing::error!(%error, "WeChat issues no access token: check wechat.app_id, wechat.app_secret and the IP allowlist in WeChat's console");
    } else {
        tracing::warn!(%error, "fetching an access token from WeChat failed");
    }
}

pub(super) fn unavailable(
    error: impl std::error::Error + Send + Sync + 'static,
) -> AccessTokenError {
    AccessTokenError::Store(Box::new(error))
}
