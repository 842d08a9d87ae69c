//! Metrics of orders and payment callbacks. The contract with operators names those of
//! payments. What can be read from the database (callbacks that wait, differences to WeChat's bills) is
//! not counted here.

use avalon_core::payments::{OrderStatus, RefundStatus};
use jiff::Timestamp;
use prometheus::{Histogram, HistogramOpts, IntCounterVec, Opts, Registry, exponential_buckets};

/// Every end of a payment callback.
const CALLBACK_OUTCOMES: [&str; 15] = [
    "granted",
    "duplicate",
    "refund",
    "mismatch",
    "unknown_order",
    "unknown_refund",
    "refunded_there",
    "not_paid",
    "other_merchant",
    "other_app",
    "malformed",
    "unreadable",
    "unknown_event",
    "unknown_serial",
    "bad_signature",
];

/// The states whose beginnings workers see. `refunding` begins with an operator's request.
const STATUSES: [OrderStatus; 5] = [
    OrderStatus::Pending,
    OrderStatus::Paid,
    OrderStatus::Failed,
    OrderStatus::Closed,
    OrderStatus::Refunded,
];

/// How a request for an order ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OrderRequest {
    /// The player can pay.
    Offered,
    /// For reasons of the player's or the goods' own.
    Refused,
    /// WeChat's fault or ours.
    Unavailable,
}

impl OrderRequest {
    const ALL: [Self; 3] = [Self::Offered, Self::Refused, Self::Unavailable];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Offered => "offered",
            Self::Refused => "refused",
            Self::Unavailable => "unavailable",
        }
    }
}

/// By what a payment was learned of.
const LEARNED_BY: [&str; 3] = ["callback", "query", "reconciliation"];

/// Counts orders and callbacks. Cheap to clone.
#[derive(Clone)]
pub struct PayMetrics {
    orders: IntCounterVec,
    requests: IntCounterVec,
    payments: IntCounterVec,
    grant_delay: Histogram,
    callbacks: IntCounterVec,
    refunds: IntCounterVec,
}

impl PayMetrics {
    /// Registers the metrics, all their series at 0: an alert can only see a counter rise that was
    /// there before.
    ///
    /// # Errors
    /// When one of the names is taken in the registry.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str, label: &str| {
            let counter = IntCounterVec::new(Opts::new(name, help), &[label])?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let orders = counter(
            "avalon_orders_total",
            "Orders that came to a state.",
            "status",
        )?;
        let requests = counter(
            "avalon_order_requests_total",
            "createOrder jobs by how they ended: offered (the player can pay), refused (the player's \
             or the goods' own reasons) or unavailable (WeChat's fault or ours).",
            "outcome",
        )?;
        let payments = counter(
            "avalon_payments_total",
            "Payments granted, by how they were learned of: callback, query or reconciliation.",
            "learned_by",
        )?;
        let callbacks = counter(
            "avalon_payment_callbacks_total",
            "Payment callbacks that were processed, and paid orders found by a query that granted \
             nothing, by what became of them.",
            "outcome",
        )?;
        let refunds = counter(
            "avalon_refunds_total",
            "Refunds that WeChat brought to a state; a closed one has failed for good.",
            "status",
        )?;
        // A tenth of a second to about an hour and a half: from an immediate callback to a bill.
        let grant_delay = Histogram::with_opts(
            HistogramOpts::new(
                "avalon_payment_grant_delay_seconds",
                "From WeChat's time of the payment (whole seconds) to its goods being granted.",
            )
            .buckets(exponential_buckets(0.1, 2.5, 13)?),
        )?;
        registry.register(Box::new(grant_delay.clone()))?;
        for status in STATUSES {
            orders.with_label_values(&[status.as_str()]);
        }
        for request in OrderRequest::ALL {
            requests.with_label_values(&[request.as_str()]);
        }
        for status in &RefundStatus::ALL[1..] {
            refunds.with_label_values(&[status.as_str()]);
        }
        for learned_by in LEARNED_BY {
            payments.with_label_values(&[learned_by]);
        }
        for outcome in CALLBACK_OUTCOMES {
            callbacks.with_label_values(&[outcome]);
        }
        Ok(Self {
            orders,
            requests,
            payments,
            grant_delay,
            callbacks,
            refunds,
        })
    }

    pub(crate) fn order(&self, status: OrderStatus) {
        self.orders.with_label_values(&[status.as_str()]).inc();
    }

    pub(crate) fn requested(&self, request: OrderRequest) {
        self.requests.with_label_values(&[request.as_str()]).inc();
    }

    /// A payment was granted; `cause` is what made us look, `at` when it was made.
    pub(crate) fn paid(&self, cause: &str, at: Timestamp) {
        let learned_by = match cause {
            "callback" | "reconciliation" => cause,
            _ => "query",
        };
        self.payments.with_label_values(&[learned_by]).inc();
        // WeChat's clock may be a little ahead of ours.
        let delay = Timestamp::now().duration_since(at).as_secs_f64().max(0.0);
        self.grant_delay.observe(delay);
    }

    pub(crate) fn refund(&self, status: RefundStatus) {
        self.refunds.with_label_values(&[status.as_str()]).inc();
    }

    pub(crate) fn callback(&self, outcome: &str) {
        self.callbacks.with_label_values(&[outcome]).inc();
    }
}
