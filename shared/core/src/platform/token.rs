//! The platform's access token of a whole fleet: one is kept for all processes, one process at a time
//! fetches, and what WeChat refuses is replaced once. How WeChat is called is not decided here.
//!
//! The state is one document in a [`TokenStore`], changed by compare-and-set; who fetches holds the
//! store's lease. The token is sealed in it and never logged.

mod local;
mod metrics;
mod record;
mod redis;
mod store;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use avalon_queue::StoreError;
use avalon_wechat::{
    AccessToken, AccessTokenError, AccessTokens, ErrorClass, FetchedToken, TokenMode, WechatClient,
    WechatError,
};
use jiff::Timestamp;

pub use local::LocalTokens;
pub use metrics::TokenMetrics;
pub use redis::RedisTokens;
pub use store::TokenStore;

use crate::storage::keyring::Keyring;
use metrics::FetchOutcome;
use record::{Held, Record, Safe};

/// A compare-and-set that loses so often meets a defect, not another process.
const MAX_TRIES: usize = 10;
/// How often a fetch is made again because the token that it gave was refused meanwhile.
const MAX_ROUNDS: usize = 3;
/// Waits for another process' fetch: the first, and the longest.
const PAUSES: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(500)];

/// When tokens are renewed, and how long who waits for whom.
#[derive(Clone, Debug)]
pub struct Timing {
    /// A token is renewed this long before its end. WeChat has no other one before its last five
    /// minutes.
    pub renew_before: Duration,
    /// And up to this much sooner, so that not all apps of a machine do it at once.
    pub jitter: Duration,
    /// Least time between two renewals.
    pub spacing: Duration,
    /// A token is not used in this last part of its life.
    pub margin: Duration,
    /// How long one process may be at it before another one takes over.
    pub lease: Duration,
    /// How long to wait for a token that another process fetches; longer than `lease`.
    pub patience: Duration,
}

impl Timing {
    /// For calls that take at most so long; a fetch makes up to two.
    pub fn for_calls_of(request_timeout: Duration) -> Self {
        let lease = request_timeout * 2 + Duration::from_secs(2);
        Self {
            renew_before: Duration::from_secs(300),
            jitter: Duration::from_secs(60),
            spacing: Duration::from_secs(15),
            margin: Duration::from_secs(10),
            lease,
            patience: lease + Duration::from_secs(2),
        }
    }
}

/// The access token of the fleet. Clones are the same holder.
#[derive(Clone)]
pub struct PlatformTokens(Arc<Holder>);

struct Holder {
    wechat: WechatClient,
    store: Arc<dyn TokenStore>,
    safe: Safe,
    timing: Timing,
    metrics: TokenMetrics,
    /// What this process saw last, for when the store is away.
    seen: Mutex<Option<Held>>,
}

impl PlatformTokens {
    /// Makes a holder; fetches when first asked.
    pub fn new(
        wechat: WechatClient,
        store: Arc<dyn TokenStore>,
        keyring: Arc<Keyring>,
        timing: Timing,
        metrics: TokenMetrics,
    ) -> Self {
        let safe = Safe::new(keyring, wechat.app_id());
        Self(Arc::new(Holder {
            wechat,
            store,
            safe,
            timing,
            metrics,
            seen: Mutex::default(),
        }))
    }
}

#[async_trait]
impl AccessTokens for PlatformTokens {
    async fn current(&self) -> Result<AccessToken, AccessTokenError> {
        let holder = &self.0;
        let deadline = Instant::now() + holder.timing.patience;
        let [mut pause, longest] = PAUSES;
        loop {
            let (_, record) = match holder.load().await {
                Ok(loaded) => loaded,
                Err(error) => return holder.recall().ok_or_else(|| unavailable(error)),
            };
            let now = Timestamp::now();
            let rest = record.rest(now);
            if let Some(held) = holder.usable(&record, now) {
                if held.renew_at <= now && rest.is_none() {
                    // Behind the caller's back, who has a good one: nobody waits for the task.
                    if let Err(error) = holder.start_refresh().await {
                        tracing::debug!(%error, "the access token is renewed later");
                    }
                }
                return Ok(held.token);
            }
            if let Some(class) = rest {
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
            let held = holder.safe.held(record);
            held.is_some_and(|held| held.token == *token)
        };
        let now = Timestamp::now();
        holder
            .update(|record| {
                // Compared with what is stored now: a newer token stays. So does one that WeChat has
                // given again since it was refused and that can't be forced away now: without it every
                // API would stand still, and it may be a single one that refuses it.
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
    /// Fetches in a task of its own, which goes on when whoever waits for it gives up; none when
    /// somebody else is at it.
    async fn start_refresh(self: &Arc<Self>) -> Result<Option<Refresh>, StoreError> {
        let owner = format!("{:032x}", fastrand::u128(..));
        if !self.store.lease(&owner, self.timing.lease).await? {
            return Ok(None);
        }
        let holder = Arc::clone(self);
        Ok(Some(tokio::spawn(async move {
            let result = holder.refresh().await;
            if let Err(error) = holder.store.release(&owner).await {
                tracing::debug!(%error, "the lease of the access token ends by itself");
            }
            result
        })))
    }

    /// Fetches a token and keeps it, while holding the lease.
    async fn refresh(&self) -> Result<AccessToken, AccessTokenError> {
        for _ in 0..MAX_ROUNDS {
            let (_, record) = self.load().await.map_err(unavailable)?;
            let asked = Timestamp::now();
            // Somebody else may have been done just before.
            if let Some(held) = self.usable(&record, asked)
                && held.renew_at > asked
            {
                return Ok(held.token);
            }
            let mut fetched = self.fetch(TokenMode::Normal).await?;
            let mut outcome = match self.safe.held(&record) {
                Some(held) if held.token == fetched.token => FetchOutcome::Unchanged,
                _ => FetchOutcome::Renewed,
            };
            let mut is_last = false;
            if record.has_refused(&fetched.token) {
                // WeChat still gives out what it refuses. Only force helps; without it, what WeChat
                // calls the current one is the best there is.
                match self.force().await? {
                    Some(forced) => (fetched, outcome) = (forced, FetchOutcome::Forced),
                    None => (is_last, outcome) = (true, FetchOutcome::Unchanged),
                }
            }
            let held = Held::new(&fetched, asked, &self.timing);
            let sealed = self.safe.seal(&held).map_err(unavailable)?;
            let stored = self
                .update(|record| {
                    // It may have been refused while it was on its way here.
                    let is_good = is_last || !record.has_refused(&held.token);
                    if is_good {
                        record.keep(&held.token, sealed.clone());
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
        // Every one that WeChat gives is refused at once.
        self.rest(ErrorClass::Misconfigured).await;
        Err(AccessTokenError::BackingOff {
            class: ErrorClass::Misconfigured,
        })
    }

    /// `None` when it can't be forced now.
    async fn force(&self) -> Result<Option<FetchedToken>, AccessTokenError> {
        let now = Timestamp::now();
        // Counted before it is done, so that a crash forgets none.
        let allowed = self.update(|record| record.take_force(now)).await;
        if !allowed.map_err(unavailable)? {
            tracing::error!(
                "WeChat gives out an access token that it refuses, and the day's forced renewals are spent or too close: it is used on"
            );
            return Ok(None);
        }
        // A failure has been told of, and is no reason to do without the token that there is.
        Ok(self.fetch(TokenMode::Forced).await.ok())
    }

    async fn fetch(&self, mode: TokenMode) -> Result<FetchedToken, AccessTokenError> {
        match self.wechat.stable_token(mode).await {
            Ok(fetched) => Ok(fetched),
            Err(error) => {
                self.metrics.refreshed(FetchOutcome::Failed);
                complain(&error);
                self.rest(error.class()).await;
                Err(AccessTokenError::Fetch(Box::new(error)))
            }
        }
    }

    /// Has nobody fetch for a while after a failure.
    async fn rest(&self, class: ErrorClass) {
        let now = Timestamp::now();
        let noted = self.update(|record| {
            record.rest_after(class, now);
            true
        });
        if let Err(error) = noted.await {
            tracing::debug!(%error, "the failed fetch of an access token could not be noted");
        }
    }

    async fn load(&self) -> Result<(Option<String>, Record), StoreError> {
        let text = self.store.load().await?;
        let record = text.as_deref().map(Record::read).unwrap_or_default();
        Ok((text, record))
    }

    /// Changes the document; `false` when `change` found nothing to do.
    async fn update(
        &self,
        mut change: impl FnMut(&mut Record) -> bool,
    ) -> Result<bool, StoreError> {
        for _ in 0..MAX_TRIES {
            let (text, mut record) = self.load().await?;
            if !change(&mut record) {
                return Ok(false);
            }
            let new = record.write()?;
            if self.store.replace(text.as_deref(), &new).await? {
                return Ok(true);
            }
        }
        Err(StoreError::Unavailable(
            "the access token is changed all the time".to_owned(),
        ))
    }

    /// The token of the document, when it is good for a call; noted for when the store is away.
    fn usable(&self, record: &Record, now: Timestamp) -> Option<Held> {
        let held = self.safe.held(record)?;
        if held.left(now) <= self.timing.margin {
            return None;
        }
        self.remember(&held);
        Some(held)
    }

    fn remember(&self, held: &Held) {
        self.metrics.used(held.ends_at);
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(held.clone());
    }

    fn forget(&self, token: &AccessToken) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.as_ref().is_some_and(|held| held.token == *token) {
            *seen = None;
        }
    }

    fn recall(&self) -> Option<AccessToken> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let held = seen.as_ref()?;
        if held.left(Timestamp::now()) <= self.timing.margin {
            return None;
        }
        self.metrics.used(held.ends_at);
        Some(held.token.clone())
    }
}

/// Tells an operator what only an operator can mend.
fn complain(error: &WechatError) {
    if error.class() == ErrorClass::Misconfigured {
        tracing::error!(%error, "WeChat gives us no access token: check wechat.app_id, wechat.app_secret and the address list in WeChat's console");
    } else {
        tracing::warn!(%error, "WeChat gave no access token");
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
