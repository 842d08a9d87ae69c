//! Metrics of the public API. No label value comes from a client.

use std::time::Duration;

use avalon_core::base::problem::ProblemCode;
use avalon_core::platform::pushes::Outcome;
use avalon_metrics::metrics;
use avalon_queue::QueueName;
use avalon_wechat::message_push::{EventKind, PushVerdict};
use prometheus::exponential_buckets;
use strum::{AsRefStr, IntoStaticStr, VariantArray};

use crate::middleware::limits::Limit;

/// The queues of jobs that requests of clients wait for.
const QUEUES_OF_CLIENTS: &[&str] = &["login", "order", "social"];

metrics! {
    /// Counts and times requests. Cheap to clone.
    pub struct HttpMetrics {
        /// Requests to the public API.
        requests: IntCounterVec["method", "route", "status"] = "avalon_http_requests_total",
        /// Time from the request head to the response head, including the time held for a job.
        duration: HistogramVec["method", "route"](exponential_buckets(0.001, 2.0, 16)?)
            = "avalon_http_request_duration_seconds",
    }

    /// Counts the connections of a listener. Cheap to clone.
    pub struct ConnectionMetrics {
        /// Open connections to the public API.
        open: IntGauge = "avalon_http_connections",
        /// Maximum number of open connections to the public API.
        max: IntGauge = "avalon_http_connections_max",
        /// Connections to the public API that were refused or closed, by exceeded bound.
        cut: IntCounterVec["bound" in ConnectionBound::VARIANTS] = "avalon_http_connections_cut_total",
        /// Times that all connections to the public API were in use, so that new ones waited.
        paused: IntCounter = "avalon_http_accept_paused_total",
    }

    /// Counts requests that the guard rejects. Cheap to clone.
    pub struct GuardMetrics {
        /// Requests rejected by the rate limiter, by limit.
        limited: IntCounterVec["limit" in Limit::VARIANTS] = "avalon_rate_limited_total",
        /// Requests accepted without being counted because Redis was unavailable.
        uncounted: IntCounter = "avalon_rate_limit_uncounted_total",
        /// Requests whose token, session or signature was rejected, by problem code.
        refused: IntCounterVec["code"] = "avalon_callers_refused_total",
        /// Requests refused because their queue is too far behind, by queue.
        shed: IntCounterVec["queue" in QUEUES_OF_CLIENTS] = "avalon_requests_shed_total",
    }

    /// Counts payment callbacks at ingress; workers count the outcomes of those that were stored. Cheap
    /// to clone.
    pub struct PayMetrics {
        /// Payment callbacks, by verdict at ingress.
        ingress: IntCounterVec["verdict" in IngressVerdict::VARIANTS]
            = "avalon_payment_callbacks_door_total",
    }

    /// Counts and times pushes of WeChat. Cheap to clone.
    pub struct PushMetrics {
        /// Messages that WeChat pushed, by event and verdict.
        pushes: IntCounterVec["event" in EventKind::VARIANTS, "verdict" in PushLabel::VARIANTS]
            = "avalon_pushes_total",
        /// Time from the head of a push to its answer.
        answer: Histogram(exponential_buckets(0.001, 2.0, 13)?) = "avalon_push_answer_seconds",
    }
}

/// The verdict on a push on receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, AsRefStr, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum PushLabel {
    /// Stored and acknowledged; a job processes it.
    Accepted,
    /// Stored before, and answered as then.
    Duplicate,
    /// An event that this version does not know; stored and acknowledged.
    UnknownEvent,
    /// A test from the console; stored and acknowledged.
    Test,
    /// An event whose effect this version does not have; stored, answered with a failure.
    Unsupported,
    /// A payment event whose second signature was not verified; stored, answered with a failure.
    Unverified,
    /// A known event without a required field; stored, answered with a failure.
    Invalid,
    /// A gift for a player who has never signed in; stored, answered with WeChat's code for that.
    NotRegistered,
    /// Not authentic; not stored.
    Refused,
    /// Plain mode: its query has signed another message; not stored.
    Replayed,
    /// Signed with our token for another app; not stored.
    OtherApp,
    /// Signed with our token, but it does not decrypt to a message; not stored.
    Unreadable,
    /// The database is unavailable; WeChat retries.
    NotStored,
}

impl From<Option<Outcome>> for PushLabel {
    fn from(outcome: Option<Outcome>) -> Self {
        match outcome {
            Some(Outcome::UnknownEvent) => Self::UnknownEvent,
            Some(Outcome::Test) => Self::Test,
            Some(Outcome::Unsupported) => Self::Unsupported,
            Some(Outcome::Unverified) => Self::Unverified,
            Some(Outcome::Invalid) => Self::Invalid,
            Some(Outcome::NotRegistered) => Self::NotRegistered,
            // The others are those of jobs.
            _ => Self::Accepted,
        }
    }
}

impl From<PushVerdict> for PushLabel {
    fn from(verdict: PushVerdict) -> Self {
        match verdict {
            PushVerdict::Refused => Self::Refused,
            PushVerdict::OtherApp => Self::OtherApp,
            PushVerdict::Unreadable => Self::Unreadable,
        }
    }
}

/// The verdict on a payment callback at ingress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, AsRefStr, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum IngressVerdict {
    /// The signature is valid; stored.
    Verified,
    /// The platform key is not known yet; stored, and verified by a worker.
    UnknownSerial,
    /// Not authentic; not stored.
    Refused,
    /// The platform key is not known yet, and the address has sent too many such callbacks; not stored.
    Limited,
    /// The inbox is unavailable; WeChat retries.
    NotStored,
}

/// A bound that a connection exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, AsRefStr, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum ConnectionBound {
    /// Its address has too many; refused.
    Address,
    /// The TLS handshake took too long.
    Handshake,
    /// The head of a request took too long.
    Head,
    /// No request followed the last one.
    Idle,
    /// The client did not read the response.
    Write,
}

impl ConnectionMetrics {
    pub(crate) fn max(&self, connections: u32) {
        self.max.set(connections.into());
    }

    pub(crate) fn opened(&self) {
        self.open.inc();
    }

    pub(crate) fn closed(&self) {
        self.open.dec();
    }

    pub(crate) fn cut(&self, bound: ConnectionBound) {
        self.cut.with_label_values(&[bound]).inc();
    }

    pub(crate) fn paused(&self) {
        self.paused.inc();
    }
}

impl HttpMetrics {
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

impl GuardMetrics {
    pub(crate) fn limited(&self, limit: Limit) {
        self.limited.with_label_values(&[limit]).inc();
    }

    pub(crate) fn uncounted(&self) {
        self.uncounted.inc();
    }

    pub(crate) fn refused(&self, code: ProblemCode) {
        self.refused.with_label_values(&[&code.to_string()]).inc();
    }

    pub(crate) fn shed(&self, queue: &QueueName) {
        self.shed.with_label_values(&[queue.as_str()]).inc();
    }
}

impl PayMetrics {
    /// Counts a callback.
    pub(crate) fn received(&self, verdict: IngressVerdict) {
        self.ingress.with_label_values(&[verdict]).inc();
    }
}

impl PushMetrics {
    /// Counts a push and the time of its answer.
    pub(crate) fn received(&self, event: EventKind, label: PushLabel, elapsed: Duration) {
        let event: &str = event.into();
        let label: &str = label.into();
        self.pushes.with_label_values(&[event, label]).inc();
        self.answer.observe(elapsed.as_secs_f64());
    }

    /// Counts a push whose body was not read.
    pub(crate) fn refused(&self, label: PushLabel) {
        let event: &str = EventKind::Unknown.into();
        let label: &str = label.into();
        self.pushes.with_label_values(&[event, label]).inc();
    }
}
