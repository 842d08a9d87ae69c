//! Metrics of orders and payment callbacks. The contract with operators names them.

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
