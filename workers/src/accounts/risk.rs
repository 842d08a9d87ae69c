//! Decides whether a risky player may order or be rewarded. WeChat rates the player, the configuration decides what follows
//! from the rank and from a missing answer.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use avalon_core::platform::config::{RiskConfig, RiskMode, WhenUnavailable};
use avalon_core::platform::risk::RiskCache;
use avalon_core::storage::documents::DocumentError;
use avalon_metrics::metrics;
use avalon_wechat::{
    ErrorClass, OpenId, PlatformClient, RiskQuery, RiskRank, RiskScene, WechatError,
};
use prometheus::Registry;
use strum::{AsRefStr, IntoStaticStr, VariantArray};
use tokio::sync::Semaphore;

/// Timeout of WeChat's answer, including an access token: the player waits for more than this.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Purpose of a check. The names are label values.
#[derive(AsRefStr, Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
enum Purpose {
    Order,
    Invite,
}

/// Maximum number of concurrent checks for which no order waits.
const MAX_OBSERVATIONS: usize = 64;

/// The player to check.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The player's openid.
    pub open_id: &'a str,
    /// The player's address, if known.
    pub client_ip: Option<IpAddr>,
}

/// Whether the player may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The player may order, or be rewarded.
    GoOn,
    /// The player must not.
    Deny,
    /// WeChat does not answer, and the configuration requires an answer. Retrying may help.
    Unknown,
}

/// The rules, with a cache of ranks. Clones share their state.
#[derive(Clone)]
pub struct Risk {
    config: RiskConfig,
    cache: RiskCache,
    metrics: RiskMetrics,
    outage: Outage,
    observations: Arc<Semaphore>,
}

/// Outcome of a check. The names are label values.
#[derive(AsRefStr, Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
enum Outcome {
    Harmless,
    Risky,
    /// WeChat has no rank of this player, for example one who was not in the game lately.
    #[strum(serialize = "unavailable")]
    Unrated,
    /// WeChat is down, or rejects our calls.
    Unavailable,
}

metrics! {
    struct RiskMetrics {
        /// Risk checks of players, by purpose and outcome.
        checks: IntCounterVec["purpose" in Purpose::VARIANTS, "outcome" in Outcome::VARIANTS]
            = "avalon_risk_checks_total",
    }
}

/// Remembers that WeChat's risk service is down. One player at a time waits to find out whether it is back.
#[derive(Clone, Default)]
struct Outage(Arc<Mutex<Option<Instant>>>);

impl Outage {
    /// Pause after a failure, and between two probes.
    const PAUSE: Duration = Duration::from_secs(15);

    fn is_on(&self, now: Instant) -> bool {
        let mut until = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match *until {
            Some(end) if now < end => true,
            Some(_) => {
                *until = Some(now + Self::PAUSE);
                false
            }
            None => false,
        }
    }

    fn note(&self, outcome: Outcome, now: Instant) {
        let until = (outcome == Outcome::Unavailable).then(|| now + Self::PAUSE);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }
}

impl Risk {
    /// Registers the metrics, their series at 0.
    ///
    /// # Errors
    /// If one of the names is already registered.
    pub fn new(
        config: RiskConfig,
        cache: RiskCache,
        registry: &Registry,
    ) -> Result<Self, prometheus::Error> {
        Ok(Self {
            config,
            cache,
            metrics: RiskMetrics::new(registry)?,
            outage: Outage::default(),
            observations: Arc::new(Semaphore::new(MAX_OBSERVATIONS)),
        })
    }

    /// Removes what is cached of a player.
    pub(crate) async fn forget(&self, open_id: &str) -> Result<(), DocumentError> {
        self.cache.forget(open_id).await
    }

    /// Decides whether the player may order.
    pub async fn of_order(&self, platform: &PlatformClient, subject: Subject<'_>) -> Verdict {
        self.check(Purpose::Order, platform, subject).await
    }

    /// Decides whether the player's invitation may be rewarded.
    pub async fn of_invite(&self, platform: &PlatformClient, subject: Subject<'_>) -> Verdict {
        self.check(Purpose::Invite, platform, subject).await
    }

    fn mode(&self, purpose: Purpose) -> RiskMode {
        match purpose {
            Purpose::Order => self.config.orders,
            Purpose::Invite => self.config.invites,
        }
    }

    async fn check(
        &self,
        purpose: Purpose,
        platform: &PlatformClient,
        subject: Subject<'_>,
    ) -> Verdict {
        match self.mode(purpose) {
            RiskMode::Off => Verdict::GoOn,
            RiskMode::Observe => {
                self.observe(purpose, platform, subject);
                Verdict::GoOn
            }
            RiskMode::Block => {
                let outcome = self.outcome(purpose, platform, subject).await;
                self.record(purpose, outcome);
                self.verdict(outcome)
            }
        }
    }

    /// Checks the player in the background: nothing waits for what has no consequence.
    fn observe(&self, purpose: Purpose, platform: &PlatformClient, subject: Subject<'_>) {
        let Ok(place) = Arc::clone(&self.observations).try_acquire_owned() else {
            self.record(purpose, Outcome::Unavailable);
            return;
        };
        let (risk, platform) = (self.clone(), platform.clone());
        let (open_id, client_ip) = (subject.open_id.to_owned(), subject.client_ip);
        tokio::spawn(async move {
            let subject = Subject {
                open_id: &open_id,
                client_ip,
            };
            risk.record(purpose, risk.outcome(purpose, &platform, subject).await);
            drop(place);
        });
    }

    fn verdict(&self, outcome: Outcome) -> Verdict {
        match (outcome, self.config.when_unavailable) {
            (Outcome::Harmless, _)
            | (Outcome::Unrated | Outcome::Unavailable, WhenUnavailable::Allow) => Verdict::GoOn,
            (Outcome::Risky, _) | (Outcome::Unrated, WhenUnavailable::Deny) => Verdict::Deny,
            (Outcome::Unavailable, WhenUnavailable::Deny) => Verdict::Unknown,
        }
    }

    fn record(&self, purpose: Purpose, outcome: Outcome) {
        let mode = self.mode(purpose);
        self.metrics
            .checks
            .with_label_values(&[purpose.as_ref(), outcome.as_ref()])
            .inc();
        if self.verdict(outcome) != Verdict::GoOn {
            tracing::info!(?purpose, ?outcome, ?mode, "player rejected as a risk");
        }
    }

    async fn outcome(
        &self,
        purpose: Purpose,
        platform: &PlatformClient,
        subject: Subject<'_>,
    ) -> Outcome {
        let rank = match self.cache.get(subject.open_id).await {
            Some(rank) => rank,
            None if self.spares_waiting(purpose) && self.outage.is_on(Instant::now()) => {
                return Outcome::Unavailable;
            }
            None => {
                let asked = self.ask(platform, subject).await;
                let outcome = asked.err().unwrap_or(Outcome::Harmless);
                self.outage.note(outcome, Instant::now());
                match asked {
                    Ok(rank) => rank,
                    Err(outcome) => return outcome,
                }
            }
        };
        if rank >= self.config.block_from_rank {
            Outcome::Risky
        } else {
            Outcome::Harmless
        }
    }

    /// Whether an outage lets players order: then they need not wait for WeChat. Players who would be rejected
    /// wait instead.
    fn spares_waiting(&self, purpose: Purpose) -> bool {
        self.mode(purpose) == RiskMode::Observe
            || self.config.when_unavailable == WhenUnavailable::Allow
    }

    async fn ask(
        &self,
        platform: &PlatformClient,
        subject: Subject<'_>,
    ) -> Result<RiskRank, Outcome> {
        let open_id = OpenId::new(subject.open_id);
        let query = RiskQuery {
            open_id: &open_id,
            scene: RiskScene::Marketing,
            client_ip: subject.client_ip,
        };
        let answer = tokio::time::timeout(TIMEOUT, platform.user_risk_rank(&query)).await;
        match answer {
            Ok(Ok(assessment)) => {
                self.cache.put(subject.open_id, assessment.rank).await;
                Ok(assessment.rank)
            }
            Ok(Err(error)) => {
                log(&error);
                Err(unanswered(&error))
            }
            Err(_) => {
                tracing::warn!("risk check timed out");
                Err(Outcome::Unavailable)
            }
        }
    }
}

/// Distinguishes failures that concern the player from outages.
fn unanswered(error: &WechatError) -> Outcome {
    match error.class() {
        ErrorClass::Permanent | ErrorClass::SignInAgain => Outcome::Unrated,
        ErrorClass::Retry
        | ErrorClass::RateLimited
        | ErrorClass::RefreshToken
        | ErrorClass::Misconfigured => Outcome::Unavailable,
    }
}

fn log(error: &WechatError) {
    if error.class() == ErrorClass::Misconfigured {
        tracing::error!(%error, "risk check failed; an operator must act");
    } else {
        tracing::warn!(%error, "risk check failed");
    }
}

#[cfg(test)]
mod tests {
    use avalon_core::storage::documents::MemoryDocuments;

    use super::*;

    #[test]
    fn one_check_at_a_time_probes_during_an_outage() {
        let (outage, begin) = (Outage::default(), Instant::now());
        let after = |seconds| begin + Duration::from_secs(seconds);
        assert!(!outage.is_on(begin) && !outage.is_on(begin));
        outage.note(Outcome::Unavailable, begin);
        assert!(outage.is_on(after(1)) && outage.is_on(after(14)));
        assert!(!outage.is_on(after(15)), "the probe");
        assert!(outage.is_on(after(15)), "the others");
        outage.note(Outcome::Unavailable, after(20));
        assert!(outage.is_on(after(34)));
        assert!(!outage.is_on(after(35)));
        // WeChat answers, even if it does not rate the player.
        outage.note(Outcome::Unrated, after(36));
        assert!(!outage.is_on(after(36)) && !outage.is_on(after(36)));
    }

    #[test]
    fn only_an_outage_is_worth_a_retry() {
        let verdict = |rule, outcome| {
            let config = RiskConfig {
                orders: RiskMode::Block,
                when_unavailable: rule,
                ..RiskConfig::default()
            };
            let cache = RiskCache::new(MemoryDocuments::default(), Duration::from_secs(1));
            let risk = Risk::new(config, cache, &Registry::new()).unwrap();
            risk.verdict(outcome)
        };
        use Outcome::{Harmless, Risky, Unavailable, Unrated};
        use WhenUnavailable::{Allow, Deny};
        for rule in [Allow, Deny] {
            assert_eq!(verdict(rule, Harmless), Verdict::GoOn);
            assert_eq!(verdict(rule, Risky), Verdict::Deny);
        }
        assert_eq!(verdict(Allow, Unrated), Verdict::GoOn);
        assert_eq!(verdict(Allow, Unavailable), Verdict::GoOn);
        assert_eq!(verdict(Deny, Unrated), Verdict::Deny);
        assert_eq!(verdict(Deny, Unavailable), Verdict::Unknown);
    }
}
