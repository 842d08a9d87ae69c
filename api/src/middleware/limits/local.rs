//! Limits of one process, by the `governor` crate.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};
use strum::VariantArray;

use super::{Counted, Limit, Rate, Verdict};
use crate::config::LimitsConfig;

type Counter =
    RateLimiter<Counted, DefaultKeyedStateStore<Counted>, DefaultClock, StateInformationMiddleware>;

/// Limits that are counted in this process. Cheap to clone.
#[derive(Clone)]
pub struct LocalLimiter {
    counters: Arc<HashMap<Limit, (Rate, Counter)>>,
    clock: DefaultClock,
}

impl LocalLimiter {
    /// Limits with the configured rates.
    pub fn new(config: &LimitsConfig) -> Self {
        let counter = |limit: Limit| {
            let rate = limit.rate(config);
            // The fallback is unreachable: a rate's interval is at least a microsecond.
            let quota = Quota::with_period(rate.interval())
                .unwrap_or(Quota::per_second(rate.quota))
                .allow_burst(rate.quota);
            let counter = RateLimiter::dashmap(quota).with_middleware();
            (limit, (rate, counter))
        };
        Self {
            counters: Arc::new(Limit::VARIANTS.iter().copied().map(counter).collect()),
            clock: DefaultClock::default(),
        }
    }

    pub(super) fn take(&self, limit: Limit, counted: &Counted, weight: NonZeroU32) -> Verdict {
        let (rate, counter) = &self.counters[&limit];
        let rate = *rate;
        let verdict = |allowed, remaining: u32, retry_after| Verdict {
            limit,
            rate,
            allowed,
            remaining,
            reset: rate.interval() * (rate.quota.get() - remaining.min(rate.quota.get())),
            retry_after,
        };
        match counter.check_key_n(counted, weight) {
            Ok(Ok(snapshot)) => verdict(true, snapshot.remaining_burst_capacity(), Duration::ZERO),
            Ok(Err(not_yet)) => verdict(false, 0, not_yet.wait_time_from(self.clock.now())),
            // More than the full burst: no wait is long enough.
            Err(_) => verdict(false, 0, rate.window),
        }
    }

    /// Removes counters whose full burst is available.
    pub fn forget_idle(&self) {
        for (_, counter) in self.counters.values() {
            counter.retain_recent();
        }
    }
}
