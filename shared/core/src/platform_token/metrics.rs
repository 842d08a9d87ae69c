//! Counts what becomes of access tokens. Nothing here tells one.

use jiff::Timestamp;
use prometheus::{Gauge, IntCounter, IntCounterVec, Opts, Registry};

const OUTCOMES: [&str; 4] = ["renewed", "unchanged", "forced", "failed"];

/// The metrics of the access token.
#[derive(Clone)]
pub struct TokenMetrics {
    refreshes: IntCounterVec,
    refusals: IntCounter,
    fetched: Gauge,
}

impl TokenMetrics {
    /// Registers them, their series at 0.
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
        let fetched = Gauge::new(
            "avalon_wechat_token_fetched_timestamp_seconds",
            "When the access token that this process used last was fetched; 0: it used none.",
        )?;
        registry.register(Box::new(refreshes.clone()))?;
        registry.register(Box::new(refusals.clone()))?;
        registry.register(Box::new(fetched.clone()))?;
        for outcome in OUTCOMES {
            refreshes.with_label_values(&[outcome]);
        }
        Ok(Self {
            refreshes,
            refusals,
            fetched,
        })
    }

    pub(super) fn refreshed(&self, outcome: &'static str) {
        self.refreshes.with_label_values(&[outcome]).inc();
    }

    pub(super) fn refused(&self) {
        self.refusals.inc();
    }

    pub(super) fn fetched_at(&self, time: Timestamp) {
        self.fetched.set(time.as_second() as f64);
    }
}
