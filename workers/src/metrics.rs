//! Metrics of orders, payment callbacks and profiles. The contract with operators names those of
//! payments.

use avalon_core::jobs::check_nickname::Checked;
use avalon_core::jobs::probe_session_key::Probed;
use prometheus::{IntCounterVec, IntGauge, Opts, Registry};

/// Counts orders and callbacks. Cheap to clone.
#[derive(Clone)]
pub struct PayMetrics {
    orders: IntCounterVec,
    callbacks: IntCounterVec,
    inbox: IntGauge,
    differences: IntGauge,
    reconciled_at: IntGauge,
}

impl PayMetrics {
    /// Registers the metrics.
    ///
    /// # Errors
    /// When one of the names is taken in the registry.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let orders = IntCounterVec::new(
            Opts::new("avalon_orders_total", "Orders that came to a state."),
            &["status"],
        )?;
        let callbacks = IntCounterVec::new(
            Opts::new(
                "avalon_payment_callbacks_total",
                "Payment callbacks that were processed, by what became of them.",
            ),
            &["outcome"],
        )?;
        let inbox = IntGauge::new(
            "avalon_inbox_pending",
            "Payment callbacks that were received and not processed yet, at the last sweep.",
        )?;
        let differences = IntGauge::new(
            "avalon_reconciliation_differences",
            "Differences between WeChat's bill and our orders that the last comparison found.",
        )?;
        let reconciled_at = IntGauge::new(
            "avalon_reconciliation_last_run_timestamp_seconds",
            "When this process last compared a bill with our orders, Unix time.",
        )?;
        registry.register(Box::new(differences.clone()))?;
        registry.register(Box::new(reconciled_at.clone()))?;
        registry.register(Box::new(orders.clone()))?;
        registry.register(Box::new(callbacks.clone()))?;
        registry.register(Box::new(inbox.clone()))?;
        Ok(Self {
            orders,
            callbacks,
            inbox,
            differences,
            reconciled_at,
        })
    }

    pub(crate) fn order(&self, status: avalon_core::payments::OrderStatus) {
        self.orders.with_label_values(&[status.as_str()]).inc();
    }

    pub(crate) fn callback(&self, outcome: &str) {
        self.callbacks.with_label_values(&[outcome]).inc();
    }

    pub(crate) fn reconciled(&self, differences: usize) {
        self.differences
            .set(i64::try_from(differences).unwrap_or(i64::MAX));
        self.reconciled_at.set(jiff::Timestamp::now().as_second());
    }

    pub(crate) fn inbox_pending(&self, callbacks: i64) {
        self.inbox.set(callbacks);
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
        self.nicknames.with_label_values(&[checked.as_str()]).inc();
    }

    pub(crate) fn probed(&self, probed: Probed) {
        self.probes.with_label_values(&[probed.as_str()]).inc();
    }

    pub(crate) fn key_fitted(&self, current: bool) {
        let key = if current { "current" } else { "previous" };
        self.keys.with_label_values(&[key]).inc();
    }

    pub(crate) fn data(&self, kind: DataKind, outcome: &str) {
        self.data.with_label_values(&[kind.as_str(), outcome]).inc();
    }
}
