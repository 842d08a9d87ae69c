//! When a failed attempt is tried again: exponential back-off with full jitter.

use std::time::Duration;

/// Exponential back-off. The n-th retry waits a random time between nothing and
/// `min(cap, base · 2^(n-1))` ("full jitter"), so that jobs which failed together do not come back
/// together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts in all, the first one included.
    pub max_attempts: u32,
    /// The longest first wait.
    pub base: Duration,
    /// The longest wait of all.
    pub cap: Duration,
}

impl RetryPolicy {
    /// Tried once, never again.
    pub const NEVER: Self = Self {
        max_attempts: 1,
        base: Duration::from_millis(1),
        cap: Duration::from_millis(1),
    };

    /// The longest possible wait after `attempt` (1 for the first) failed.
    pub fn ceiling(&self, attempt: u32) -> Duration {
        let doublings = attempt.saturating_sub(1).min(31);
        self.base.saturating_mul(1 << doublings).min(self.cap)
    }

    /// A wait after `attempt` (1 for the first) failed, in whole milliseconds.
    pub fn delay(&self, attempt: u32) -> Duration {
        Duration::from_millis(fastrand::u64(0..=crate::job::millis(self.ceiling(attempt))))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_wait_is_never_longer_than_the_ceiling_nor_the_ceiling_than_the_cap(
            base in 1u64..10_000, cap in 1u64..1_000_000, attempt in 0u32..10_000,
        ) {
            let policy = RetryPolicy {
                max_attempts: 10,
                base: Duration::from_millis(base),
                cap: Duration::from_millis(cap),
            };
            prop_assert!(policy.ceiling(attempt) <= policy.cap);
            prop_assert!(policy.delay(attempt) <= policy.ceiling(attempt));
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
        let waits: Vec<_> = (0..200).map(|_| policy.delay(3)).collect();
        assert!(waits.iter().any(|wait| *wait < Duration::from_millis(1000)));
        assert!(waits.iter().any(|wait| *wait > Duration::from_millis(3000)));
    }
}
