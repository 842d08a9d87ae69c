//! The platform's access token, shared by a fleet: all processes use the same token, one process at a
//! time fetches, and a token that WeChat refuses is replaced once. The HTTP calls are in `avalon_wechat`.
//!
//! The state is one document, in which the token is sealed; it is never logged. The process that
//! fetches holds a lease, which is a document too. Their keys share a hash tag, hence a node of a Redis
//! Cluster.

mod holder;
mod metrics;
mod record;

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use avalon_wechat::{AccessToken, AccessTokenError, AccessTokens, WechatClient};
use jiff::Timestamp;

pub use metrics::TokenMetrics;

use crate::storage::documents::Documents;
use crate::storage::keyring::Keyring;
use holder::{Holder, unavailable};
use record::{Record, TokenSealer};

/// Longer than a healthy Redis takes.
pub const REDIS_TIMEOUT: Duration = Duration::from_secs(2);

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

impl fmt::Debug for PlatformTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlatformTokens")
            .field("timing", &self.0.timing)
            .finish_non_exhaustive()
    }
}
