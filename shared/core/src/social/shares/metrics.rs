//! Metrics of shares.

use avalon_metrics::metrics;
use strum::{AsRefStr, IntoStaticStr, VariantArray};

/// What is counted. The names are label values.
#[derive(AsRefStr, Clone, Copy, Debug, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub(super) enum Counted {
    Issued,
    Shown,
    Opened,
}

metrics! {
    /// Counts shares. Cheap to clone.
    pub struct ShareMetrics {
        /// Shares issued, shown to another player, and opened by one, by event.
        events: IntCounterVec["event" in Counted::VARIANTS] = "avalon_shares_total",
    }
}

impl ShareMetrics {
    pub(super) fn count(&self, counted: Counted) {
        self.events.with_label_values(&[counted.as_ref()]).inc();
    }
}
