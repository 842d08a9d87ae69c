//! Measured durations and their exact quantiles: every value is stored.

use std::time::Duration;

/// Durations of one kind of event.
#[derive(Default)]
pub(crate) struct Latencies(Vec<Duration>);

impl Latencies {
    /// Adds a duration.
    pub(crate) fn add(&mut self, latency: Duration) {
        self.0.push(latency);
    }

    /// Number of durations.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The nearest-rank percentile in milliseconds; NaN without durations.
    pub(crate) fn percentile_ms(&self, percent: usize) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent).div_ceil(100);
        let found = sorted.get(rank.saturating_sub(1));
        found.map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_use_nearest_rank() {
        let mut latencies = Latencies::default();
        assert!(latencies.percentile_ms(50).is_nan());
        for ms in (1..=200).rev() {
            latencies.add(Duration::from_millis(ms));
        }
        for (percent, expected) in [(1, 2.0), (50, 100.0), (99, 198.0), (100, 200.0)] {
            let found = latencies.percentile_ms(percent);
            assert!((found - expected).abs() < 1e-9, "p{percent}: {found}");
        }
        assert_eq!(latencies.count(), 200);
    }
}
