//! Metrics of events. API and workers count under one name, so one process registers it once for
//! both.

use std::time::Duration;

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry, exponential_buckets,
};

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventOutcome {
    /// Taken at the edge.
    Accepted,
    /// Refused at the edge.
    Rejected,
    /// In the database.
    Stored,
    /// Was in the database before.
    Duplicate,
    /// Not in the catalogue, which the policy does not allow.
    Unknown,
    /// Its parameters are not as its schema says.
    Invalid,
    /// Its player is not one of those whose events are kept.
    SampledOut,
    /// Older than what is kept.
    TooOld,
}

impl EventOutcome {
    const ALL: [Self; 8] = [
        Self::Accepted,
        Self::Rejected,
        Self::Stored,
        Self::Duplicate,
        Self::Unknown,
        Self::Invalid,
        Self::SampledOut,
        Self::TooOld,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::Stored => "stored",
            Self::Duplicate => "duplicate",
            Self::Unknown => "unknown",
            Self::Invalid => "invalid",
            Self::SampledOut => "sampled_out",
            Self::TooOld => "too_old",
        }
    }
}

/// Counts events and times their ways. Cheap to clone.
#[derive(Clone)]
pub struct EventMetrics {
    events: IntCounterVec,
    flush_events: Histogram,
    flush_seconds: Histogram,
    sink_events: IntCounterVec,
    sink_failures: IntCounterVec,
    sink_seconds: HistogramVec,
    sink_lag: HistogramVec,
}

impl EventMetrics {
    /// Registers the metrics.
    ///
    /// # Errors
    /// When one of the names is taken in the registry.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            events: IntCounterVec::new(
                Opts::new("avalon_events_total", "Events, by what became of them."),
                &["outcome"],
            )?,
            flush_events: Histogram::with_opts(
                HistogramOpts::new(
                    "avalon_event_flush_events",
                    "Events that one transaction wrote to the database.",
                )
                .buckets(exponential_buckets(1.0, 4.0, 9)?),
            )?,
            flush_seconds: Histogram::with_opts(
                HistogramOpts::new(
                    "avalon_event_flush_seconds",
                    "How long one such transaction took.",
                )
                .buckets(exponential_buckets(0.001, 2.0, 14)?),
            )?,
            sink_events: IntCounterVec::new(
                Opts::new("avalon_event_sink_events_total", "Events that a sink took."),
                &["sink"],
            )?,
            sink_failures: IntCounterVec::new(
                Opts::new(
                    "avalon_event_sink_failures_total",
                    "Times that a sink did not take a batch.",
                ),
                &["sink"],
            )?,
            sink_seconds: HistogramVec::new(
                HistogramOpts::new(
                    "avalon_event_sink_seconds",
                    "How long a sink took for a batch that it took.",
                )
                .buckets(exponential_buckets(0.001, 2.0, 14)?),
                &["sink"],
            )?,
            sink_lag: HistogramVec::new(
                HistogramOpts::new(
                    "avalon_event_sink_lag_seconds",
                    "From receiving a batch to the sink's taking it.",
                )
                .buckets(exponential_buckets(0.01, 4.0, 12)?),
                &["sink"],
            )?,
        };
        // There from the start: an alert can only see a counter rise that was there before.
        for outcome in EventOutcome::ALL {
            metrics.events.with_label_values(&[outcome.as_str()]);
        }
        registry.register(Box::new(metrics.events.clone()))?;
        registry.register(Box::new(metrics.flush_events.clone()))?;
        registry.register(Box::new(metrics.flush_seconds.clone()))?;
        registry.register(Box::new(metrics.sink_events.clone()))?;
        registry.register(Box::new(metrics.sink_failures.clone()))?;
        registry.register(Box::new(metrics.sink_seconds.clone()))?;
        registry.register(Box::new(metrics.sink_lag.clone()))?;
        Ok(metrics)
    }

    /// So many events came to this.
    pub fn count(&self, outcome: EventOutcome, events: usize) {
        if events > 0 {
            self.events
                .with_label_values(&[outcome.as_str()])
                .inc_by(events as u64);
        }
    }

    /// A sink is there: so are its series.
    pub fn sink(&self, sink: &str) {
        self.sink_events.with_label_values(&[sink]);
        self.sink_failures.with_label_values(&[sink]);
    }

    /// A transaction wrote so many events.
    #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
    pub(super) fn flushed(&self, events: usize, took: Duration) {
        self.flush_events.observe(events as f64);
        self.flush_seconds.observe(took.as_secs_f64());
    }

    /// A sink took a batch, so long after it was received.
    pub fn sunk(&self, sink: &str, events: usize, took: Duration, lag: Duration) {
        self.sink_events
            .with_label_values(&[sink])
            .inc_by(events as u64);
        self.sink_seconds
            .with_label_values(&[sink])
            .observe(took.as_secs_f64());
        self.sink_lag
            .with_label_values(&[sink])
            .observe(lag.as_secs_f64());
    }

    /// A sink did not take a batch.
    pub fn sink_failed(&self, sink: &str) {
        self.sink_failures.with_label_values(&[sink]).inc();
    }
}
