//! Metrics of the access token: fetches, rejections and the age of the token in use. No token is exported.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use avalon_metrics::metrics;
use jiff::Timestamp;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Gauge, Registry};
use strum::{AsRefStr, IntoStaticStr, VariantArray};

/// Lifetime of WeChat's tokens.
const TOKEN_TTL: Duration = Duration::from_secs(7200);
/// A token that was not used for this long has no meaningful age: it is renewed on the next use.
const IDLE_AFTER: Duration = Duration::from_secs(300);

/// Outcome of fetching an access token. Its names are label values.
#[derive(AsRefStr, Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub(super) enum FetchOutcome {
    /// WeChat returned a new token.
    Renewed,
    /// WeChat returned the token that is already stored.
    Unchanged,
    /// A new token after a forced refresh.
    Forced,
    Failed,
}

metrics! {
    struct Counters {
        /// Fetches of the access token by this process, by outcome.
        refreshes: IntCounterVec["outcome" in FetchOutcome::VARIANTS]
            = "avalon_wechat_token_refreshes_total",
        /// Calls of this process whose access token WeChat rejected.
        refusals: IntCounter = "avalon_wechat_token_refusals_total",
    }
}

/// The metrics of the access token.
#[derive(Clone)]
pub struct TokenMetrics {
    counters: Counters,
    last: Arc<Mutex<Option<Use>>>,
}

/// A token's last use.
#[derive(Clone, Copy)]
struct Use {
    at: Timestamp,
    ends_at: Timestamp,
}

impl TokenMetrics {
    /// Registers the metrics, the counters at 0.
    ///
    /// # Errors
    /// If one of the names is already registered.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let age = Gauge::new(
            "avalon_wechat_token_age_seconds",
            "Age of the access token that this process uses.",
        )?;
        let last = Arc::default();
        registry.register(Box::new(Age {
            age,
            last: Arc::clone(&last),
        }))?;
        let counters = Counters::new(registry)?;
        Ok(Self { counters, last })
    }

    pub(super) fn refreshed(&self, outcome: FetchOutcome) {
        self.counters.refreshes.with_label_values(&[outcome]).inc();
    }

    pub(super) fn refused(&self) {
        self.counters.refusals.inc();
    }

    pub(super) fn used(&self, ends_at: Timestamp) {
        let at = Timestamp::now();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some(Use { at, ends_at });
    }
}

/// Exports the age at scrape time, and only of a token in use.
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
    (idle < IDLE_AFTER.as_secs_f64()).then(|| (TOKEN_TTL.as_secs_f64() - left).max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_token_has_no_age() {
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
