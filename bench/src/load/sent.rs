//! What became of the requests of a load: latencies in an HDR histogram, and errors by kind.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use hdrhistogram::Histogram;
use hyper::StatusCode;
use serde::{Deserialize, Serialize};

use crate::Outcome;

/// Latencies are recorded in microseconds up to this one, with three significant digits.
const MAX_MICROS: u64 = 120_000_000;
const DIGITS: u8 = 3;

/// The results of a load.
pub(crate) struct Sent {
    /// When the first request was sent, by the clock that Postgres uses too.
    pub(crate) started: SystemTime,
    /// From then until the last response.
    pub(crate) elapsed: Duration,
    latencies: Histogram<u64>,
    errors: BTreeMap<String, u64>,
}

/// Percentiles of latencies, milliseconds.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Percentiles {
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
}

impl Sent {
    pub(super) fn new() -> Outcome<Self> {
        Ok(Self {
            started: SystemTime::now(),
            elapsed: Duration::ZERO,
            latencies: Histogram::new_with_bounds(1, MAX_MICROS, DIGITS)?,
            errors: BTreeMap::new(),
        })
    }

    /// Records a response, or why there was none. Redirects count as errors.
    pub(super) fn record(&mut self, latency: Duration, response: Outcome<StatusCode>) {
        match response {
            // 202: the job was accepted, but did not finish in time. That is no success here.
            Ok(status) if status.is_success() && status != StatusCode::ACCEPTED => {
                let micros = u64::try_from(latency.as_micros()).unwrap_or(MAX_MICROS);
                self.latencies.saturating_record(micros.max(1));
            }
            Ok(status) => self.error(format!("status {}", status.as_u16())),
            Err(error) => self.error(error.to_string()),
        }
    }

    /// As [`Self::record`], of a response that others need too.
    pub(super) fn record_ref(&mut self, latency: Duration, response: &Outcome<StatusCode>) {
        let response = response.as_ref().copied();
        self.record(latency, response.map_err(|error| error.to_string().into()));
    }

    fn error(&mut self, kind: String) {
        *self.errors.entry(kind).or_default() += 1;
    }

    /// Adds the results of another connection of the same load.
    pub(super) fn add(&mut self, other: Self) -> Outcome<()> {
        self.latencies.add(other.latencies)?;
        for (kind, number) in other.errors {
            *self.errors.entry(kind).or_default() += number;
        }
        Ok(())
    }

    /// Number of successful requests.
    pub(crate) fn successes(&self) -> u64 {
        self.latencies.len()
    }

    /// Successful requests per second.
    pub(crate) fn rate(&self) -> f64 {
        as_float(self.successes()) / self.elapsed.as_secs_f64()
    }

    /// Fails if more than one request in a hundred failed: such a run measures something else.
    pub(crate) fn checked(self) -> Outcome<Self> {
        let failed: u64 = self.errors.values().sum();
        if self.successes() == 0 || failed * 100 > self.successes() {
            return Err(format!(
                "{failed} of {} requests failed: {:?}",
                failed + self.successes(),
                self.errors
            )
            .into());
        }
        Ok(self)
    }

    /// Errors by kind.
    pub(crate) fn errors(&self) -> &BTreeMap<String, u64> {
        &self.errors
    }

    /// Number of failed requests.
    pub(crate) fn failures(&self) -> u64 {
        self.errors.values().sum()
    }

    /// The percentiles of the successful requests.
    pub(crate) fn percentiles(&self) -> Percentiles {
        let at = |quantile| as_float(self.latencies.value_at_quantile(quantile)) / 1000.0;
        Percentiles {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: as_float(self.latencies.max()) / 1000.0,
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
fn as_float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_final_successes_count() {
        let mut sent = Sent::new().unwrap();
        for (ms, status) in [(2, 200), (4, 204), (1, 202), (1, 302), (1, 503)] {
            let status = StatusCode::from_u16(status).unwrap();
            sent.record(Duration::from_millis(ms), Ok(status));
        }
        sent.record(Duration::ZERO, Err("closed".into()));
        assert_eq!((sent.successes(), sent.failures()), (2, 4));
        let Percentiles { p50, max, .. } = sent.percentiles();
        assert!((p50 - 2.0).abs() < 0.01, "{p50}");
        assert!((max - 4.0).abs() < 0.01, "{max}");
        assert!(sent.checked().is_err());
    }

    #[test]
    fn rates_count_successes() {
        let mut sent = Sent::new().unwrap();
        for _ in 0..300 {
            sent.record(Duration::from_millis(1), Ok(StatusCode::OK));
        }
        sent.elapsed = Duration::from_secs(3);
        assert!((sent.rate() - 100.0).abs() < 1e-9);
        assert!(sent.checked().is_ok());
    }
}
