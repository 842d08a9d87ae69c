//! Metrics of the public API. No label comes from what a client sends.

use std::time::Duration;

use crate::middleware::limits::Limit;
use avalon_core::base::problem::ProblemCode;
use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
    exponential_buckets,
};

/// Counts and times requests. Cheap to clone.
#[derive(Clone)]
pub struct HttpMetrics {
    requests: IntCounterVec,
    duration: HistogramVec,
    connections: IntGauge,
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
        let connections = IntGauge::new(
            "avalon_http_connections",
            "Connections to the public API that are open.",
        )?;
        registry.register(Box::new(duration.clone()))?;
        registry.register(Box::new(connections.clone()))?;
        Ok(Self {
            requests,
            duration,
            connections,
        })
    }

    /// Counts the connections that are open.
    pub fn connections(&self) -> IntGauge {
        self.connections.clone()
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

/// Counts whom the guard turned away. Cheap to clone.
#[derive(Clone)]
pub struct GuardMetrics {
    limited: IntCounterVec,
    uncounted: IntCounter,
    refused: IntCounterVec,
}

impl GuardMetrics {
    /// Registers the metrics.
    ///
    /// # Errors
    /// When one of the names is taken in the registry.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let limited = IntCounterVec::new(
            Opts::new(
                "avalon_rate_limited_total",
                "Requests that were too many, by the limit that they passed.",
            ),
            &["limit"],
        )?;
        let uncounted = IntCounter::new(
            "avalon_rate_limit_uncounted_total",
            "Requests that were let through uncounted because Redis did not answer.",
        )?;
        let refused = IntCounterVec::new(
            Opts::new(
                "avalon_callers_refused_total",
                "Requests whose token, session or signature was not good, by problem code.",
            ),
            &["code"],
        )?;
        for limit in Limit::ALL {
            limited.with_label_values(&[limit.as_str()]);
        }
        registry.register(Box::new(limited.clone()))?;
        registry.register(Box::new(uncounted.clone()))?;
        registry.register(Box::new(refused.clone()))?;
        Ok(Self {
            limited,
            uncounted,
            refused,
        })
    }

    pub(crate) fn limited(&self, limit: Limit) {
        self.limited.with_label_values(&[limit.as_str()]).inc();
    }

    pub(crate) fn uncounted(&self) {
        self.uncounted.inc();
    }

    pub(crate) fn refused(&self, code: ProblemCode) {
        self.refused.with_label_values(&[&code.to_string()]).inc();
    }
}

/// What the door said of a payment callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DoorLabel {
    /// Rightly signed, and kept.
    Verified,
    /// Its key is not at hand; kept.
    UnknownSerial,
    /// Not believed to come from WeChat.
    Refused,
    /// Could not be kept: WeChat sends it again.
    NotStored,
}

impl DoorLabel {
    const ALL: [Self; 4] = [
        Self::Verified,
        Self::UnknownSerial,
        Self::Refused,
        Self::NotStored,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::UnknownSerial => "unknown_serial",
            Self::Refused => "refused",
            Self::NotStored => "not_stored",
        }
    }
}

/// Counts payment callbacks at the door; what became of those that were kept is the workers' to
/// count. Cheap to clone.
#[derive(Clone)]
pub struct PayMetrics {
    door: IntCounterVec,
}

impl PayMetrics {
    /// Registers the metrics.
    ///
    /// # Errors
    /// When one of the names is taken in the registry.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let door = IntCounterVec::new(
            Opts::new(
                "avalon_payment_callbacks_door_total",
                "Payment callbacks that were answered, by what was seen before processing them.",
            ),
            &["verdict"],
        )?;
        // There from the start: an alert can only see a counter rise that was there before.
        for verdict in DoorLabel::ALL {
            door.with_label_values(&[verdict.as_str()]);
        }
        registry.register(Box::new(door.clone()))?;
        Ok(Self { door })
    }

    pub(crate) fn answered(&self, verdict: DoorLabel) {
        self.door.with_label_values(&[verdict.as_str()]).inc();
    }
}
