//! Metrics of the public API. No label comes from what a client sends.

use std::time::Duration;

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry, exponential_buckets};

/// Counts and times requests. Cheap to clone.
#[derive(Clone)]
pub struct HttpMetrics {
    requests: IntCounterVec,
    duration: HistogramVec,
}

impl HttpMetrics {
    /// Registers the metrics.
    ///
    /// # Errors
    /// When one of the names is taken in the registry.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let requests = IntCounterVec::new(
            Opts::new(
                "avalon_http_requests_total",
                "Requests to the public API that were answered.",
            ),
            &["method", "route", "status"],
        )?;
        // A millisecond to about half a minute: requests are held for their jobs.
        let duration = HistogramVec::new(
            HistogramOpts::new(
                "avalon_http_request_duration_seconds",
                "From a request's head to its answer's, time held for a job included.",
            )
            .buckets(exponential_buckets(0.001, 2.0, 16)?),
            &["method", "route"],
        )?;
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(duration.clone()))?;
        Ok(Self { requests, duration })
    }

    pub(crate) fn answered(&self, method: &str, route: &str, status: u16, elapsed: Duration) {
        self.requests
            .with_label_values(&[method, route, &status.to_string()])
            .inc();
        self.duration
            .with_label_values(&[method, route])
            .observe(elapsed.as_secs_f64());
    }
}
