//! What becomes of access tokens, in counts and in the age of the one in use. Nothing here tells one.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Gauge, IntCounter, IntCounterVec, Opts, Registry};

const OUTCOMES: [&str; 4] = ["renewed", "unchanged", "forced", "failed"];
/// WeChat's tokens live for two hours.
const LIFE: Duration = Duration::from_secs(7200);
/// A token that was not used for so long is not in use: its age tells nothing, since it is renewed by
/// who needs it.
const IN_USE: Duration = Duration::from_secs(300);

/// The metrics of the access token.
#[derive(Clone)]
pub struct TokenMetrics {
    refreshes: IntCounterVec,
    refusals: IntCounter,
    last: Arc<Mutex<Option<Use>>>,
}

/// A token's last use.
#[derive(Clone, Copy)]
struct Use {
    at: Timestamp,
    ends_at: Timestamp,
}

impl TokenMetrics {
    /// Registers them, the counts at 0.
    ///
    /// # Errors
    /// When the registry already has metrics of these names.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let refreshes = IntCounterVec::new(
            Opts::new(
                "avalon_wechat_token_refreshes_total",
                "Fetches of the access token by this process, by what came of it.",
            ),
            &["outcome"],
        )?;
        let refusals = IntCounter::new(
            "avalon_wechat_token_refusals_total",
            "Calls of this process whose access token WeChat refused.",
        )?;
        let age = Gauge::new(
            "avalon_wechat_token_age_seconds",
            "Age of the access token that this process uses.",
        )?;
        let last = Arc::default();
        registry.register(Box::new(refreshes.clone()))?;
        registry.register(Box::new(refusals.clone()))?;
        registry.register(Box::new(Age {
            age,
            last: Arc::clone(&last),
        }))?;
        for outcome in OUTCOMES {
            refreshes.with_label_values(&[outcome]);
        }
        Ok(Self {
            refreshes,
            refusals,
            last,
        })
    }

    pub(super) fn refreshed(&self, outcome: &'static str) {
        self.refreshes.with_label_values(&[outcome]).inc();
    }

    pub(super) fn refused(&self) {
        self.refusals.inc();
    }

    pub(super) fn used(&self, ends_at: Timestamp) {
        let at = Timestamp::now();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some(Use { at, ends_at });
    }
}

/// Tells the age when it is asked for, and only of a token in use.
struct Age {
    age: Gauge,
    last: Arc<Mutex<Option<Use>>>,
}

impl Collector for Age {
    fn desc(&self) -> Vec<&Desc> {
        self.age.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match last.and_then(|last| age(last, Timestamp::now())) {
            Some(age) => {
                self.age.set(age);
                self.age.collect()
            }
            None => Vec::new(),
        }
    }
}

fn age(last: Use, now: Timestamp) -> Option<f64> {
    let idle = now.duration_since(last.at).as_secs_f64();
    let left = last.ends_at.duration_since(now).as_secs_f64();
    (idle < IN_USE.as_secs_f64()).then(|| (LIFE.as_secs_f64() - left).max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_of_a_token_that_nobody_uses_is_not_told() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let last = Use {
            at: at(1000),
            ends_at: at(8000),
        };
        assert_eq!(age(last, at(1000)), Some(200.0));
        assert_eq!(age(last, at(1299)), Some(499.0));
        assert_eq!(age(last, at(1300)), None);
    }
}
