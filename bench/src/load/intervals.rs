//! The responses of an open loop by the interval in which their requests were due, so that a long load shows
//! whether latency drifts. An interval is summarised when no response of it can be outstanding any more.

use std::collections::BTreeMap;
use std::time::Duration;

use hyper::StatusCode;
use serde::{Deserialize, Serialize};

use super::Sent;
use crate::Outcome;

/// Intervals that are open besides the newest one: longer together than the timeout of a request.
const OPEN: u64 = 2;

/// The summary of an interval.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Interval {
    /// Seconds from the start of the load to the end of the interval.
    pub(crate) end: f64,
    /// Successful requests per second.
    pub(crate) rate: f64,
    /// Number of failed requests.
    pub(crate) errors: u64,
    /// Milliseconds from the time at which requests were due.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

/// The intervals of a load.
pub(crate) struct Intervals {
    length: Duration,
    open: BTreeMap<u64, Sent>,
    done: Vec<Interval>,
}

impl Intervals {
    /// Intervals of this length.
    pub(crate) const fn of(length: Duration) -> Self {
        Self {
            length,
            open: BTreeMap::new(),
            done: Vec::new(),
        }
    }

    /// A single one.
    pub(super) const fn all_in_one() -> Self {
        Self::of(Duration::MAX)
    }

    /// Records the response to a request that was due at this time since the start.
    pub(super) fn record(
        &mut self,
        due: Duration,
        latency: Duration,
        response: &Outcome<StatusCode>,
    ) -> Outcome<()> {
        let number = u64::try_from(due.as_nanos() / self.length.as_nanos().max(1))?;
        let oldest = self.open.first_key_value().map_or(0, |(oldest, _)| *oldest);
        // A straggler of a summarised interval must not open it again.
        let number = number.max(oldest);
        if let Some(sent) = self.open.get_mut(&number) {
            sent.record_ref(latency, response);
            return Ok(());
        }
        let mut sent = Sent::new()?;
        sent.record_ref(latency, response);
        self.open.insert(number, sent);
        self.close_before(number.saturating_sub(OPEN));
        Ok(())
    }

    /// Summarises all.
    pub(crate) fn finish(&mut self) {
        self.close_before(u64::MAX);
    }

    /// The summaries of complete intervals, in order.
    pub(crate) fn done(&self) -> &[Interval] {
        &self.done
    }

    fn close_before(&mut self, number: u64) {
        while let Some(first) = self.open.first_entry()
            && *first.key() < number
        {
            let (at, sent) = first.remove_entry();
            let percentiles = sent.percentiles();
            let seconds = self.length.as_secs_f64();
            self.done.push(Interval {
                end: as_float(at + 1) * seconds,
                rate: as_float(sent.successes()) / seconds,
                errors: sent.failures(),
                p50: percentiles.p50,
                p99: percentiles.p99,
                max: percentiles.max,
            });
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

    fn record(intervals: &mut Intervals, due_seconds: u64, ms: u64, status: StatusCode) {
        let (due, latency) = (Duration::from_secs(due_seconds), Duration::from_millis(ms));
        intervals.record(due, latency, &Ok(status)).unwrap();
    }

    #[test]
    fn responses_count_in_the_interval_of_their_due_time() {
        let mut intervals = Intervals::of(Duration::from_secs(10));
        for (due, ms) in [(0, 2), (12, 8), (9, 4), (11, 8)] {
            record(&mut intervals, due, ms, StatusCode::OK);
        }
        record(&mut intervals, 19, 1, StatusCode::SERVICE_UNAVAILABLE);
        intervals.finish();
        let [first, second] = intervals.done() else {
            panic!("{:?}", intervals.done());
        };
        assert!((first.max - 4.0).abs() < 0.01 && (first.end - 10.0).abs() < 1e-9);
        assert!((first.rate - 0.2).abs() < 1e-9, "{first:?}");
        assert!((second.p50 - 8.0).abs() < 0.01, "{second:?}");
        assert_eq!((first.errors, second.errors), (0, 1));
    }

    #[test]
    fn old_intervals_are_summarised_once() {
        let mut intervals = Intervals::of(Duration::from_secs(10));
        for due in [5, 15, 25, 35] {
            record(&mut intervals, due, 1, StatusCode::OK);
        }
        assert_eq!(intervals.done().len(), 1);
        record(&mut intervals, 6, 9, StatusCode::OK);
        intervals.finish();
        let ends: Vec<_> = intervals.done().iter().map(|it| it.end).collect();
        assert_eq!(ends, [10.0, 20.0, 30.0, 40.0]);
        assert!((intervals.done()[1].max - 9.0).abs() < 0.01);
    }
}
