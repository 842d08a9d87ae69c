//! Exponential back-off with jitter.

use std::time::Duration;

/// Exponential back-off. The n-th retry waits a random time of at most `min(cap, base · 2^(n-1))`, so
/// that jobs which failed together are not retried together. [`Jitter`] is the random share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Maximum number of attempts, including the first.
    pub max_attempts: u32,
    /// Upper bound of the first wait.
    pub base: Duration,
    /// Upper bound of every wait.
    pub cap: Duration,
}

/// Random share of a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jitter {
    /// Between zero and the upper bound: spreads best, but guarantees no minimum.
    Full,
    /// Between half of the upper bound and all of it: for kinds that must be retried for a minimum
    /// time.
    Half,
}

impl RetryPolicy {
    /// One attempt and no retry.
    pub const NEVER: Self = Self {
        max_attempts: 1,
        base: Duration::from_millis(1),
        cap: Duration::from_millis(1),
    };

    /// Upper bound of the wait after `attempt` (from 1) failed.
    pub fn ceiling(&self, attempt: u32) -> Duration {
        let doublings = attempt.saturating_sub(1).min(31);
        self.base.saturating_mul(1 << doublings).min(self.cap)
    }

    /// Lower bound of the wait after `attempt` (from 1) failed.
    pub fn floor(&self, attempt: u32, jitter: Jitter) -> Duration {
        match jitter {
            Jitter::Full => Duration::ZERO,
            Jitter::Half => self.ceiling(attempt) / 2,
        }
    }

    /// Draws the wait after `attempt` (from 1) failed, in whole milliseconds.
    pub fn delay(&self, attempt: u32, jitter: Jitter) -> Duration {
        let shortest = crate::job::millis(self.floor(attempt, jitter));
        let longest = crate::job::millis(self.ceiling(attempt));
        Duration::from_millis(fastrand::u64(shortest..=longest))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn wait_is_within_floor_ceiling_and_cap(
            base in 1u64..10_000, cap in 1u64..1_000_000, attempt in 0u32..10_000,
            jitter in prop::sample::select(vec![Jitter::Full, Jitter::Half]),
        ) {
            let policy = RetryPolicy {
                max_attempts: 10,
                base: Duration::from_millis(base),
                cap: Duration::from_millis(cap),
            };
            prop_assert!(policy.ceiling(attempt) <= policy.cap);
            let delay = policy.delay(attempt, jitter);
            prop_assert!(delay <= policy.ceiling(attempt));
            // Whole milliseconds.
            let floor = crate::job::millis(policy.floor(attempt, jitter));
            prop_assert!(delay >= Duration::from_millis(floor));
            prop_assert!(policy.ceiling(attempt) <= policy.ceiling(attempt + 1));
        }
    }

    #[test]
    fn waits_spread_over_the_whole_range() {
        let policy = RetryPolicy {
            max_attempts: 5,
            base: Duration::from_millis(1000),
            cap: Duration::from_secs(60),
        };
        let waits = |jitter| (0..200).map(move |_| policy.delay(3, jitter));
        let below = |ms| move |wait: Duration| wait < Duration::from_millis(ms);
        assert!(waits(Jitter::Full).any(below(1000)));
        assert!(!waits(Jitter::Full).all(below(3000)));
        assert!(!waits(Jitter::Half).any(below(2000)));
        assert!(waits(Jitter::Half).any(below(2500)));
        assert!(!waits(Jitter::Half).all(below(3500)));
    }
}
