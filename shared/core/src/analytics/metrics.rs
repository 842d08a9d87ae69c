//! Metrics of events. API and workers share the names, so a process registers them once for both.

use std::time::Duration;

use avalon_metrics::metrics;
use prometheus::exponential_buckets;
use strum::{AsRefStr, IntoStaticStr, VariantArray};

use super::payment_sheets;

/// What happened to an event. Its names are label values.
#[derive(AsRefStr, Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum EventOutcome {
    /// Accepted by the API.
    Accepted,
    /// Rejected by the API.
    Rejected,
    /// Written to the database.
    Stored,
    /// Already in the database.
    Duplicate,
    /// Not in the catalogue, which the policy does not allow.
    Unknown,
    /// Its parameters do not match its schema.
    Invalid,
    /// Its player is not in the sample.
    SampledOut,
    /// Older than the retention.
    TooOld,
}

metrics! {
    /// Counts events and measures their latencies. Cheap to clone.
    pub struct EventMetrics {
        /// Events, by outcome.
        events: IntCounterVec["outcome" in EventOutcome::VARIANTS] = "avalon_events_total",
        /// Ends of WeChat's payment sheets that clients have reported, by the sheet's code.
        payment_sheets: IntCounterVec["code" in payment_sheets::CODES] = "avalon_payment_sheets_total",
        /// Events written to the database per transaction.
        flush_events: Histogram(exponential_buckets(1.0, 4.0, 9)?) = "avalon_event_flush_events",
        /// Duration of a transaction that writes events.
        flush_seconds: Histogram(exponential_buckets(0.001, 2.0, 14)?)
            = "avalon_event_flush_seconds",
        /// Events accepted by a sink.
        sink_events: IntCounterVec["sink"] = "avalon_event_sink_events_total",
        /// Batches that a sink did not accept.
        sink_failures: IntCounterVec["sink"] = "avalon_event_sink_failures_total",
        /// Time that a sink took for a batch that it accepted.
        sink_seconds: HistogramVec["sink"](exponential_buckets(0.001, 2.0, 14)?)
            = "avalon_event_sink_seconds",
        /// Time from receiving a batch to its acceptance by the sink.
        sink_lag: HistogramVec["sink"](exponential_buckets(0.01, 4.0, 12)?)
            = "avalon_event_sink_lag_seconds",
    }
}

impl EventMetrics {
    /// Counts events.
    pub fn count(&self, outcome: EventOutcome, events: usize) {
        if events > 0 {
            self.events
                .with_label_values(&[outcome])
                .inc_by(events as u64);
        }
    }

    /// Counts the end of a payment sheet by the label of its code ([`payment_sheets::code_of`]).
    pub fn payment_sheet(&self, code: &'static str) {
        self.payment_sheets.with_label_values(&[code]).inc();
    }

    /// Creates the series of a sink, at 0.
    pub fn sink(&self, sink: &str) {
        self.sink_events.with_label_values(&[sink]);
        self.sink_failures.with_label_values(&[sink]);
    }

    /// Records a transaction that wrote events.
    #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
    pub(super) fn flushed(&self, events: usize, elapsed: Duration) {
        self.flush_events.observe(events as f64);
        self.flush_seconds.observe(elapsed.as_secs_f64());
    }

    /// Records a batch that a sink accepted. `lag` is the time since the batch was received.
    pub fn sunk(&self, sink: &str, events: usize, elapsed: Duration, lag: Duration) {
        self.sink_events
            .with_label_values(&[sink])
            .inc_by(events as u64);
        self.sink_seconds
            .with_label_values(&[sink])
            .observe(elapsed.as_secs_f64());
        self.sink_lag
            .with_label_values(&[sink])
            .observe(lag.as_secs_f64());
    }

    /// Counts a batch that a sink did not accept.
    pub fn sink_failed(&self, sink: &str) {
        self.sink_failures.with_label_values(&[sink]).inc();
    }
}
