//! Whether a risky player may do something of worth. WeChat tells the rank, the configuration says
//! what it leads to; a WeChat that does not tell is a case of its own.

use std::net::IpAddr;
use std::time::Duration;

use avalon_core::config::{RiskConfig, RiskMode, WhenUnavailable};
use avalon_core::risk::RiskCache;
use avalon_wechat::{
    ErrorClass, OpenId, PlatformClient, RiskQuery, RiskRank, RiskScene, WechatError,
};
use prometheus::{IntCounterVec, Opts, Registry};

/// How long WeChat may take, an access token included: the player waits for more than this.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the player is about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Ordering goods.
    Order,
    /// Getting a reward.
    Reward,
}

impl Purpose {
    const ALL: [Self; 2] = [Self::Order, Self::Reward];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Reward => "reward",
        }
    }
}

/// Who is about to do it.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// WeChat's id of the player.
    pub open_id: &'a str,
    /// The player's address, when it is known.
    pub client_ip: Option<IpAddr>,
}

/// The rules, and what was learnt lately.
pub struct Risk {
    config: RiskConfig,
    cache: RiskCache,
    checks: IntCounterVec,
}

/// What became of a check; a label.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Harmless,
    Risky,
    Unavailable,
}

impl Outcome {
    const ALL: [Self; 3] = [Self::Harmless, Self::Risky, Self::Unavailable];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Harmless => "harmless",
            Self::Risky => "risky",
            Self::Unavailable => "unavailable",
        }
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
        for purpose in Purpose::ALL {
            for outcome in Outcome::ALL {
                checks.with_label_values(&[purpose.as_str(), outcome.as_str()]);
            }
        }
        Ok(Self {
            config,
            cache,
            checks,
        })
    }

    /// Whether orders are looked at, and what follows.
    pub fn orders(&self) -> RiskMode {
        self.config.orders
    }

    /// Whether the player may go on. `mode` is that of the purpose.
    pub async fn allows(
        &self,
        platform: &PlatformClient,
        mode: RiskMode,
        purpose: Purpose,
        subject: Subject<'_>,
    ) -> bool {
        if mode == RiskMode::Off {
            return true;
        }
        let outcome = self.outcome(platform, subject).await;
        let labels = [purpose.as_str(), outcome.as_str()];
        self.checks.with_label_values(&labels).inc();
        let denied = match outcome {
            Outcome::Harmless => false,
            Outcome::Risky => true,
            Outcome::Unavailable => self.config.when_unavailable == WhenUnavailable::Deny,
        };
        if denied {
            let [purpose, outcome] = labels;
            tracing::info!(purpose, outcome, ?mode, "a player is taken for a risk");
        }
        !(denied && mode == RiskMode::Block)
    }

    async fn outcome(&self, platform: &PlatformClient, subject: Subject<'_>) -> Outcome {
        let rank = match self.cache.get(subject.open_id).await {
            Some(rank) => rank,
            None => match self.ask(platform, subject).await {
                Some(rank) => rank,
                None => return Outcome::Unavailable,
            },
        };
        if rank >= self.config.block_from_rank {
            Outcome::Risky
        } else {
            Outcome::Harmless
        }
    }

    async fn ask(&self, platform: &PlatformClient, subject: Subject<'_>) -> Option<RiskRank> {
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
                Some(assessment.rank)
            }
            Ok(Err(error)) => {
                complain(&error);
                None
            }
            Err(_) => {
                tracing::warn!("WeChat did not tell a player's risk in time");
                None
            }
        }
    }
}

fn complain(error: &WechatError) {
    if error.class() == ErrorClass::Misconfigured {
        tracing::error!(%error, "WeChat does not tell us players' risk: an operator must act");
    } else {
        tracing::warn!(%error, "WeChat did not tell a player's risk");
    }
}
