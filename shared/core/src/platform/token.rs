//! The platform's access token, shared by a fleet: all processes use the same token, one process at a
//! time fetches, and a token that WeChat refuses is replaced once. The HTTP calls are in `avalon_wechat`.
//!
//! The state is one document, in which the token is sealed; it is never logged. The process that
//! fetches holds a lease, which is a document too. Their keys share a hash tag, hence a node of a Redis
//! Cluster.

mod metrics;
mod record;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use avalon_wechat::{
    AccessToken, AccessTokenError, AccessTokens, ErrorClass, FetchedToken, TokenMode, WechatClient,
    WechatError,
};
use jiff::Timestamp;

pub use metrics::TokenMetrics;

use crate::storage::documents::{DocumentError, Documents, Expiry};
use crate::storage::keyring::Keyring;
use record::{Held, Record, TokenSealer};

/// Longer than a healthy Redis takes.
pub const REDIS_TIMEOUT: Duration = Duration::from_secs(2);

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
/// Minimum and maximum pause while another process fetches.
const PAUSES: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(500)];

/// Timing of renewals and waits.
#[derive(Clone, Debug)]
pub struct Timing {
    /// A token is renewed this long before it expires. WeChat issues no other one before its last five
    /// minutes.
    pub renew_before: Duration,
    /// Random extra on `renew_before`, so that the apps of a machine do not renew at once.
    pub jitter: Duration,
    /// Minimum time between two renewals.
    pub spacing: Duration,
    /// A token that expires within this time is not used.
    pub margin: Duration,
    /// Time for a fetch before another process takes over.
    pub lease: Duration,
    /// Maximum wait for another process' fetch; longer than `lease`.
    pub wait_timeout: Duration,
}

impl Timing {
    /// Derives the timing from the timeout of a call to WeChat; a fetch makes up to two calls.
    pub fn for_calls_of(request_timeout: Duration) -> Self {
        let lease = request_timeout * 2 + Duration::from_secs(2);
        Self {
            renew_before: Duration::from_secs(300),
            jitter: Duration::from_secs(60),
            spacing: Duration::from_secs(15),
            margin: Duration::from_secs(10),
            lease,
            wait_timeout: lease + Duration::from_secs(2),
        }
    }
}

/// The access token of the fleet. Clones share the same state.
#[derive(Clone)]
pub struct PlatformTokens(Arc<Holder>);

struct Holder {
    wechat: WechatClient,
    store: Arc<dyn Documents>,
    sealer: TokenSealer,
    timing: Timing,
    metrics: TokenMetrics,
    /// The last token that this process used, for when the store is unavailable.
    last: Mutex<Option<Held>>,
}

impl PlatformTokens {
    /// Creates a holder, which fetches on first use.
    pub fn new(
        wechat: WechatClient,
        store: Arc<dyn Documents>,
        keyring: Arc<Keyring>,
        timing: Timing,
        metrics: TokenMetrics,
    ) -> Self {
        let sealer = TokenSealer::new(keyring, wechat.app_id());
        Self(Arc::new(Holder {
            wechat,
            store,
            sealer,
            timing,
            metrics,
            last: Mutex::default(),
        }))
    }
}

#[async_trait]
impl AccessTokens for PlatformTokens {
    async fn current(&self) -> Result<AccessToken, AccessTokenError> {
        let holder = &self.0;
        let deadline = Instant::now() + holder.timing.wait_timeout;
        let [mut pause, longest] = PAUSES;
        loop {
            let (_, record) = match holder.load().await {
                Ok(loaded) => loaded,
                Err(error) => return holder.recall().ok_or_else(|| unavailable(error)),
            };
            let now = Timestamp::now();
            let backing_off = record.backing_off(now);
            if let Some(held) = holder.usable(&record, now) {
                if held.renew_at <= now && backing_off.is_none() {
                    // In the background: the caller uses the valid one.
                    if let Err(error) = holder.start_refresh().await {
                        tracing::debug!(%error, "cannot renew the access token now, will retry");
                    }
                }
                return Ok(held.token);
            }
            if let Some(class) = backing_off {
                return Err(AccessTokenError::BackingOff { class });
            }
            if let Some(refresh) = holder.start_refresh().await.map_err(unavailable)? {
                return refresh
                    .await
                    .map_err(|error| AccessTokenError::Store(Box::new(error)))?;
            }
            if Instant::now() + pause > deadline {
                return Err(AccessTokenError::TimedOut);
            }
            tokio::time::sleep(pause.mul_f64(0.75 + 0.5 * fastrand::f64())).await;
            pause = (pause * 2).min(longest);
        }
    }

    async fn refused(&self, token: &AccessToken) -> Result<(), AccessTokenError> {
        let holder = &self.0;
        holder.metrics.refused();
        holder.forget(token);
        let is_this = |record: &Record| {
            let held = holder.sealer.open(record);
            held.is_some_and(|held| held.token == *token)
        };
        let now = Timestamp::now();
        holder
            .update(|record| {
                // Compared with the stored token: a newer one stays. So does one that WeChat has issued
                // again since it was refused and that cannot be replaced by force now: without it every
                // API would fail, and perhaps only a single one refuses it.
                let is_last = record.has_refused(token) && !record.may_force(now);
                let replace = is_this(record) && !is_last;
                if replace {
                    record.refuse(token);
                }
                replace
            })
            .await
            .map_err(unavailable)?;
        Ok(())
    }
}

type Refresh = tokio::task::JoinHandle<Result<AccessToken, AccessTokenError>>;

impl Holder {
    /// Fetches in a task of its own, which continues when the caller gives up; `None` while another
    /// process fetches.
    async fn start_refresh(self: &Arc<Self>) -> Result<Option<Refresh>, DocumentError> {
        let owner = format!("{:032x}", fastrand::u128(..));
        let expiry = Expiry::After(self.timing.lease);
        if !self.store.replace(LEASE, None, &owner, expiry).await? {
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
            let asked = Timestamp::now();
            // Another process may have finished just before.
            if let Some(held) = self.usable(&record, asked)
                && held.renew_at > asked
            {
                return Ok(held.token);
            }
            let mut fetched = self.fetch(TokenMode::Normal).await?;
            let mut outcome = match self.sealer.open(&record) {
                Some(held) if held.token == fetched.token => "unchanged",
                _ => "renewed",
            };
            let mut is_last = false;
            if record.has_refused(&fetched.token) {
                // WeChat still issues the token that it refuses. Only a forced renewal helps; without
                // one, the token that WeChat calls current is the best there is.
                match self.force().await? {
                    Some(forced) => (fetched, outcome) = (forced, "forced"),
                    None => (is_last, outcome) = (true, "unchanged"),
                }
            }
            let held = Held::new(&fetched, asked, &self.timing);
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
                tracing::info!(outcome, expires_in = ?fetched.expires_in, "fetched the access token");
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
                self.metrics.refreshed("failed");
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

    async fn load(&self) -> Result<(Option<String>, Record), DocumentError> {
        let text = self.store.get(DOCUMENT).await?;
        let record = text.as_deref().map(Record::read).unwrap_or_default();
        Ok((text, record))
    }

    /// Changes the document by compare-and-set; returns `false` if `change` changed nothing.
    async fn update(
        &self,
        mut change: impl FnMut(&mut Record) -> bool,
    ) -> Result<bool, DocumentError> {
        for _ in 0..MAX_TRIES {
            let (text, mut record) = self.load().await?;
            if !change(&mut record) {
                return Ok(false);
            }
            let new = record.write()?;
            let (seen, expiry) = (text.as_deref(), Expiry::After(DOCUMENT_TTL));
            if self.store.replace(DOCUMENT, seen, &new, expiry).await? {
                return Ok(true);
            }
        }
        Err(DocumentError::Unavailable(
            "too many concurrent changes of the access token".to_owned(),
        ))
    }

    /// Returns the token of the document if it is valid for a call, and remembers it.
    fn usable(&self, record: &Record, now: Timestamp) -> Option<Held> {
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

    fn forget(&self, token: &AccessToken) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_ref().is_some_and(|held| held.token == *token) {
            *last = None;
        }
    }

    fn recall(&self) -> Option<AccessToken> {
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

fn unavailable(error: impl std::error::Error + Send + Sync + 'static) -> AccessTokenError {
    AccessTokenError::Store(Box::new(error))
}

impl fmt::Debug for PlatformTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlatformTokens")
            .field("timing", &self.0.timing)
            .finish_non_exhaustive()
    }
}
