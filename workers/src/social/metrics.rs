//! Metrics of messages, gift packs and the friends ranking.

use avalon_metrics::metrics;
use strum::{AsRefStr, IntoStaticStr, VariantArray};

use crate::social::write_hosted::WriteOutcome;

/// What an attempt to send a message came to. The names are label values.
#[derive(AsRefStr, Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum SendOutcome {
    /// WeChat accepted it.
    Sent,
    /// WeChat's answer was lost; it is not repeated.
    Lost,
    /// The ledger is empty; WeChat was not called.
    Unsubscribed,
    /// WeChat refused it, since the player accepts none (43101).
    Refused,
    /// The player has received the maximum of the day.
    Capped,
    /// WeChat rejects its content or the template.
    Failed,
    /// Certainly not sent; it is sent later.
    Delayed,
    /// It waited for too long.
    Expired,
}

/// What processing a gift pack came to. The names are label values.
#[derive(AsRefStr, Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum GiftOutcome {
    /// Granted.
    Granted,
    /// Granted before.
    Repeated,
    /// It waits for a mapping.
    Unmapped,
    /// Its player is gone.
    NoPlayer,
}

metrics! {
    /// Counts messages, gift packs and writes for the friends ranking. Cheap to clone.
    pub struct MessageMetrics {
        /// Attempts to send subscribe messages, by outcome.
        sends: IntCounterVec["outcome" in SendOutcome::VARIANTS] = "avalon_subscribe_sends_total",
        /// Processed gift packs, by outcome.
        gifts: IntCounterVec["outcome" in GiftOutcome::VARIANTS] = "avalon_gifts_total",
        /// Writes of players' scores to WeChat's cloud storage, by outcome.
        writes: IntCounterVec["outcome" in WriteOutcome::VARIANTS] = "avalon_cloud_storage_writes_total",
    }
}

impl MessageMetrics {
    pub(crate) fn send(&self, outcome: SendOutcome) {
        self.sends.with_label_values(&[outcome]).inc();
    }

    pub(crate) fn gift(&self, outcome: GiftOutcome) {
        self.gifts.with_label_values(&[outcome]).inc();
    }

    pub(crate) fn granted_later(&self, count: u64) {
        self.gifts
            .with_label_values(&[GiftOutcome::Granted])
            .inc_by(count);
    }

    pub(crate) fn written(&self, outcome: WriteOutcome) {
        self.writes.with_label_values(&[outcome]).inc();
    }
}
