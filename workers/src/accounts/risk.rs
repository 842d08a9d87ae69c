//! Whether a risky player may do something of worth. WeChat tells the rank, the configuration says
//! what it leads to; a WeChat that does not tell is a case of its own.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use avalon_core::platform::config::{RiskConfig, RiskMode, WhenUnavailable};
use avalon_core::platform::risk::RiskCache;
use avalon_wechat::{
    ErrorClass, OpenId, PlatformClient, RiskQuery, RiskRank, RiskScene, WechatError,
};
use prometheus::{IntCounterVec, Opts, Registry};
use tokio::sync::Semaphore;

/// How long WeChat may take, an access token included: the player waits for more than this.
const PATIENCE: Duration = Duration::from_secs(5);
/// What the player is about to do; a label.
const ORDER: &str = "order";
/// Players who are looked at without anybody waiting, at most.
const MOST_BESIDE: usize = 64;

/// Who is about to do it.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// WeChat's id of the player.
    pub open_id: &'a str,
    /// The player's address, when it is known.
    pub client_ip: Option<IpAddr>,
}

/// Whether the player may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Yes.
    GoOn,
    /// No.
    Deny,
    /// WeChat does not answer, without which the answer is no. It may answer the next time.
    Unknown,
}

/// The rules, and what was learnt lately. Clones are the same.
#[derive(Clone)]
pub struct Risk {
    config: RiskConfig,
    cache: RiskCache,
    checks: IntCounterVec,
    outage: Outage,
    beside: Arc<Semaphore>,
}

/// What became of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Harmless,
    Risky,
    /// WeChat tells nothing of this player, such as one who was away from the game.
    Untold,
    /// WeChat does not answer, or not us.
    Away,
}

impl Outcome {
    const LABELS: [&str; 3] = ["harmless", "risky", "unavailable"];

    const fn label(self) -> &'static str {
        match self {
            Self::Harmless => "harmless",
            Self::Risky => "risky",
            Self::Untold | Self::Away => "unavailable",
        }
    }
}

/// Whether WeChat's risk service is away, as this process has seen lately. One player waits to find out
/// whether it is back; the others don't.
#[derive(Clone, Default)]
struct Outage(Arc<Mutex<Option<Instant>>>);

impl Outage {
    /// How long nobody asks. Who asks after that keeps all others off for as long again.
    const REST: Duration = Duration::from_secs(15);

    fn is_on(&self, now: Instant) -> bool {
        let mut until = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match *until {
            Some(end) if now < end => true,
            Some(_) => {
                *until = Some(now + Self::REST);
                false
            }
            None => false,
        }
    }

    fn note(&self, outcome: Outcome, now: Instant) {
        let until = (outcome == Outcome::Away).then(|| now + Self::REST);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }
}

impl Risk {
    /// Registers the metrics, their series at 0.
    ///
    /// # Errors
    /// When one of the names is taken in the registry.
    pub fn new(
        config: RiskConfig,
        cache: RiskCache,
        registry: &Registry,
    ) -> Result<Self, prometheus::Error> {
        let checks = IntCounterVec::new(
            Opts::new(
                "avalon_risk_checks_total",
                "Players whose risk was looked at, by what for and by what was found.",
            ),
            &["purpose", "outcome"],
        )?;
        registry.register(Box::new(checks.clone()))?;
        for outcome in Outcome::LABELS {
            checks.with_label_values(&[ORDER, outcome]);
        }
        Ok(Self {
            config,
            cache,
            checks,
            outage: Outage::default(),
            beside: Arc::new(Semaphore::new(MOST_BESIDE)),
        })
    }

    /// Whether the player may order.
    pub async fn of_order(&self, platform: &PlatformClient, subject: Subject<'_>) -> Verdict {
        match self.config.orders {
            RiskMode::Off => Verdict::GoOn,
            RiskMode::Observe => {
                self.observe(platform, subject);
                Verdict::GoOn
            }
            RiskMode::Block => {
                let outcome = self.outcome(platform, subject).await;
                self.told(outcome);
                self.verdict(outcome)
            }
        }
    }

    /// Looks at the player beside the order, which does not wait for what has no consequence.
    fn observe(&self, platform: &PlatformClient, subject: Subject<'_>) {
        let Ok(place) = Arc::clone(&self.beside).try_acquire_owned() else {
            self.told(Outcome::Away);
            return;
        };
        let (risk, platform) = (self.clone(), platform.clone());
        let (open_id, client_ip) = (subject.open_id.to_owned(), subject.client_ip);
        tokio::spawn(async move {
            let subject = Subject {
                open_id: &open_id,
                client_ip,
            };
            risk.told(risk.outcome(&platform, subject).await);
            drop(place);
        });
    }

    fn verdict(&self, outcome: Outcome) -> Verdict {
        match (outcome, self.config.when_unavailable) {
            (Outcome::Harmless, _) | (Outcome::Untold | Outcome::Away, WhenUnavailable::Allow) => {
                Verdict::GoOn
            }
            (Outcome::Risky, _) | (Outcome::Untold, WhenUnavailable::Deny) => Verdict::Deny,
            (Outcome::Away, WhenUnavailable::Deny) => Verdict::Unknown,
        }
    }

    fn told(&self, outcome: Outcome) {
        let mode = self.config.orders;
        self.checks
            .with_label_values(&[ORDER, outcome.label()])
            .inc();
        if self.verdict(outcome) != Verdict::GoOn {
            tracing::info!(?outcome, ?mode, "a player is taken for a risk");
        }
    }

    async fn outcome(&self, platform: &PlatformClient, subject: Subject<'_>) -> Outcome {
        let rank = match self.cache.get(subject.open_id).await {
            Some(rank) => rank,
            None if self.spares_waiting() && self.outage.is_on(Instant::now()) => {
                return Outcome::Away;
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

    /// Whether a WeChat that is away lets the player go on: then nobody should wait for it. Who would be
    /// refused does better to ask again.
    fn spares_waiting(&self) -> bool {
        self.config.orders == RiskMode::Observe
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
        let told = tokio::time::timeout(PATIENCE, platform.user_risk_rank(&query)).await;
        match told {
            Ok(Ok(assessment)) => {
                self.cache.put(subject.open_id, assessment.rank).await;
                Ok(assessment.rank)
            }
            Ok(Err(error)) => {
                complain(&error);
                Err(unanswered(&error))
            }
            Err(_) => {
                tracing::warn!("WeChat did not tell a player's risk in time");
                Err(Outcome::Away)
            }
        }
    }
}

/// Whether it is WeChat's failure and ours, or the player's.
fn unanswered(error: &WechatError) -> Outcome {
    match error.class() {
        ErrorClass::Permanent | ErrorClass::SignInAgain => Outcome::Untold,
        ErrorClass::Retry
        | ErrorClass::RateLimited
        | ErrorClass::RefreshToken
        | ErrorClass::Misconfigured => Outcome::Away,
    }
}

fn complain(error: &WechatError) {
    if error.class() == ErrorClass::Misconfigured {
        tracing::error!(%error, "WeChat does not tell us players' risk: an operator must act");
    } else {
        tracing::warn!(%error, "WeChat did not tell a player's risk");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn while_wechat_is_away_one_finds_out_whether_it_is_back() {
        let (outage, begin) = (Outage::default(), Instant::now());
        let after = |seconds| begin + Duration::from_secs(seconds);
        assert!(!outage.is_on(begin) && !outage.is_on(begin));
        outage.note(Outcome::Away, begin);
        assert!(outage.is_on(after(1)) && outage.is_on(after(14)));
        assert!(!outage.is_on(after(15)), "the one who asks");
        assert!(outage.is_on(after(15)), "the others");
        outage.note(Outcome::Away, after(20));
        assert!(outage.is_on(after(34)));
        assert!(!outage.is_on(after(35)));
        // WeChat answers, though not what was asked.
        outage.note(Outcome::Untold, after(36));
        assert!(!outage.is_on(after(36)) && !outage.is_on(after(36)));
    }

    #[test]
    fn only_a_wechat_that_is_away_is_worth_another_try() {
        let verdict = |rule, outcome| {
            let config = RiskConfig {
                orders: RiskMode::Block,
                when_unavailable: rule,
                ..RiskConfig::default()
            };
            let cache = RiskCache::local(Duration::from_secs(1));
            let risk = Risk::new(config, cache, &Registry::new()).unwrap();
            risk.verdict(outcome)
        };
        use Outcome::{Away, Harmless, Risky, Untold};
        use WhenUnavailable::{Allow, Deny};
        for rule in [Allow, Deny] {
            assert_eq!(verdict(rule, Harmless), Verdict::GoOn);
            assert_eq!(verdict(rule, Risky), Verdict::Deny);
        }
        assert_eq!(verdict(Allow, Untold), Verdict::GoOn);
        assert_eq!(verdict(Allow, Away), Verdict::GoOn);
        assert_eq!(verdict(Deny, Untold), Verdict::Deny);
        assert_eq!(verdict(Deny, Away), Verdict::Unknown);
    }
}
