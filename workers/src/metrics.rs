//! Metrics of orders, payment callbacks and profiles. The contract with operators names those of
//! payments. What can be read from the database (callbacks that wait, differences to WeChat's bills) is
//! not counted here.

use avalon_core::payments::{CallbackOutcome, Cause, OrderStatus, RefundStatus};
use jiff::Timestamp;
use prometheus::{Histogram, HistogramOpts, IntCounterVec, Opts, Registry, exponential_buckets};
use strum::VariantArray;

use crate::accounts::check_nickname::Checked;
use crate::accounts::probe_session_key::Probed;

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
    /// The player or the product is the reason.
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
        for outcome in CallbackOutcome::VARIANTS {
            callbacks.with_label_values(&[outcome.as_str()]);
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

    /// Counts a granted payment that was made at `at`.
    pub(crate) fn paid(&self, cause: Cause, at: Timestamp) {
        let learned_by = match cause {
            Cause::Callback => "callback",
            Cause::Reconciliation => "reconciliation",
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

    pub(crate) fn callback(&self, outcome: CallbackOutcome) {
        self.callbacks.with_label_values(&[outcome.as_str()]).inc();
    }
}

/// What a client passes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DataKind {
    /// A profile, encrypted.
    Profile,
    /// A profile in the open, signed.
    RawProfile,
    /// Where a share was opened.
    Group,
}

impl DataKind {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Profile => "profile",
            Self::RawProfile => "raw_profile",
            Self::Group => "group",
        }
    }
}

/// Counts what becomes of data that clients pass on. Cheap to clone.
#[derive(Clone)]
pub struct ProfileMetrics {
    data: IntCounterVec,
    keys: IntCounterVec,
    nicknames: IntCounterVec,
    probes: IntCounterVec,
}

impl ProfileMetrics {
    /// Registers the metrics.
    ///
    /// # Errors
    /// When one of the names is taken in the registry.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let data = IntCounterVec::new(
            Opts::new(
                "avalon_client_data_total",
                "Data of WeChat's that clients passed on, by what became of them.",
            ),
            &["kind", "outcome"],
        )?;
        let keys = IntCounterVec::new(
            Opts::new(
                "avalon_session_keys_fitted_total",
                "Session keys that opened or verified clients' data, by which of a player's it was.",
            ),
            &["key"],
        )?;
        let nicknames = IntCounterVec::new(
            Opts::new(
                "avalon_nickname_checks_total",
                "Nicknames that WeChat's content check was asked about, by what came of it.",
            ),
            &["outcome"],
        )?;
        let probes = IntCounterVec::new(
            Opts::new(
                "avalon_session_key_probes_total",
                "Session keys that did not fit a client's data, by what WeChat says of them.",
            ),
            &["outcome"],
        )?;
        // There from the start: an alert can only see a counter rise that was there before.
        for checked in Checked::VARIANTS {
            nicknames.with_label_values(&[<&str>::from(checked)]);
        }
        for probed in Probed::VARIANTS {
            probes.with_label_values(&[<&str>::from(probed)]);
        }
        for key in ["current", "previous"] {
            keys.with_label_values(&[key]);
        }
        for kind in [DataKind::Profile, DataKind::RawProfile, DataKind::Group] {
            data.with_label_values(&[kind.as_str(), "taken"]);
        }
        registry.register(Box::new(nicknames.clone()))?;
        registry.register(Box::new(probes.clone()))?;
        registry.register(Box::new(data.clone()))?;
        registry.register(Box::new(keys.clone()))?;
        Ok(Self {
            data,
            keys,
            nicknames,
            probes,
        })
    }

    pub(crate) fn nickname(&self, checked: Checked) {
        self.nicknames
            .with_label_values(&[<&str>::from(checked)])
            .inc();
    }

    pub(crate) fn probed(&self, probed: Probed) {
        self.probes.with_label_values(&[<&str>::from(probed)]).inc();
    }

    pub(crate) fn key_fitted(&self, current: bool) {
        let key = if current { "current" } else { "previous" };
        self.keys.with_label_values(&[key]).inc();
    }

    pub(crate) fn data(&self, kind: DataKind, outcome: &str) {
        self.data.with_label_values(&[kind.as_str(), outcome]).inc();
    }
}
