//! Metrics of the public API. No label value comes from a client.

use std::time::Duration;

use crate::middleware::limits::Limit;
use avalon_core::base::problem::ProblemCode;
use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
    exponential_buckets,
};
use strum::VariantArray;

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
    /// When a name is already registered.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let requests = IntCounterVec::new(
            Opts::new("avalon_http_requests_total", "Requests to the public API."),
            &["method", "route", "status"],
        )?;
        // 1 ms to about 33 s: requests are held for their jobs.
        let duration = HistogramVec::new(
            HistogramOpts::new(
                "avalon_http_request_duration_seconds",
                "Time from the request head to the response head, including the time held for a job.",
            )
            .buckets(exponential_buckets(0.001, 2.0, 16)?),
            &["method", "route"],
        )?;
        registry.register(Box::new(requests.clone()))?;
        let connections = IntGauge::new(
            "avalon_http_connections",
            "Open connections to the public API.",
        )?;
        registry.register(Box::new(duration.clone()))?;
        registry.register(Box::new(connections.clone()))?;
        Ok(Self {
            requests,
            duration,
            connections,
        })
    }

    /// The gauge of open connections.
    pub fn connections(&self) -> IntGauge {
        self.connections.clone()
    }

    /// Counts a request and its duration.
    pub(crate) fn record(&self, method: &str, route: &str, status: u16, elapsed: Duration) {
        self.requests
            .with_label_values(&[method, route, &status.to_string()])
            .inc();
        self.duration
            .with_label_values(&[method, route])
            .observe(elapsed.as_secs_f64());
    }
}

/// Counts requests that the guard rejects. Cheap to clone.
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
    /// When a name is already registered.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let limited = IntCounterVec::new(
            Opts::new(
                "avalon_rate_limited_total",
                "Requests rejected by the rate limiter, by limit.",
            ),
            &["limit"],
        )?;
        let uncounted = IntCounter::new(
            "avalon_rate_limit_uncounted_total",
            "Requests accepted without being counted because Redis was unavailable.",
        )?;
        let refused = IntCounterVec::new(
            Opts::new(
                "avalon_callers_refused_total",
                "Requests whose token, session or signature was rejected, by problem code.",
            ),
            &["code"],
        )?;
        for limit in Limit::VARIANTS {
            limited.with_label_values(&[limit]);
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
        self.limited.with_label_values(&[limit]).inc();
    }

    pub(crate) fn uncounted(&self) {
        self.uncounted.inc();
    }

    pub(crate) fn refused(&self, code: ProblemCode) {
        self.refused.with_label_values(&[&code.to_string()]).inc();
    }
}

/// The verdict on a payment callback at ingress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IngressVerdict {
    /// The signature is valid; stored.
    Verified,
    /// The platform key is not known yet; stored, and verified by a worker.
    UnknownSerial,
    /// Not authentic; not stored.
    Refused,
    /// The inbox is unavailable; WeChat retries.
    NotStored,
}

impl IngressVerdict {
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

/// Counts payment callbacks at ingress; workers count the outcomes of those that were stored. Cheap to
/// clone.
#[derive(Clone)]
pub struct PayMetrics {
    ingress: IntCounterVec,
}

impl PayMetrics {
    /// Registers the metrics.
    ///
    /// # Errors
    /// When a name is already registered.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let ingress = IntCounterVec::new(
            Opts::new(
                "avalon_payment_callbacks_door_total",
                "Payment callbacks, by verdict at ingress.",
            ),
            &["verdict"],
        )?;
        // Initialised, since alerts see an increase only of an existing counter.
        for verdict in IngressVerdict::ALL {
            ingress.with_label_values(&[verdict.as_str()]);
        }
        registry.register(Box::new(ingress.clone()))?;
        Ok(Self { ingress })
    }

    /// Counts a callback.
    pub(crate) fn received(&self, verdict: IngressVerdict) {
        self.ingress.with_label_values(&[verdict.as_str()]).inc();
    }
}
