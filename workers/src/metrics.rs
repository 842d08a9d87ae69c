//! Metrics of orders, payment callbacks and profiles. The contract with operators names those of
//! payments.

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
        registry.register(Box::new(data.clone()))?;
        registry.register(Box::new(keys.clone()))?;
        Ok(Self { data, keys })
    }

    pub(crate) fn key_fitted(&self, current: bool) {
        let key = if current { "current" } else { "previous" };
        self.keys.with_label_values(&[key]).inc();
    }

    pub(crate) fn data(&self, kind: DataKind, outcome: &str) {
        self.data.with_label_values(&[kind.as_str(), outcome]).inc();
    }
}
