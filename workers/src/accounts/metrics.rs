//! Metrics of data that clients submit on WeChat's behalf: profiles, group ids, nicknames.

use avalon_metrics::metrics;
use strum::{AsRefStr, IntoStaticStr, VariantArray};

use crate::accounts::check_nickname::Checked;
use crate::accounts::probe_session_key::Probed;

/// What a client submitted. The names are label values.
#[derive(AsRefStr, Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum DataKind {
    /// A profile, encrypted.
    Profile,
    /// A profile in plain text, signed.
    RawProfile,
    /// The group in which a share was opened.
    Group,
}

/// Outcome of processing submitted data. The names are label values.
#[derive(AsRefStr, Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum DataOutcome {
    #[strum(serialize = "taken")]
    Accepted,
    #[strum(serialize = "key_does_not_fit")]
    KeyMismatch,
    #[strum(serialize = "no_watermark")]
    MissingWatermark,
    #[strum(serialize = "other_app")]
    AppMismatch,
    OtherPlayer,
    Stale,
    FieldInvalid,
    NoGroup,
}

metrics! {
    /// Counts data that clients submitted. Cheap to clone.
    pub struct ProfileMetrics {
        /// WeChat data submitted by clients, by outcome.
        data: IntCounterVec["kind" in DataKind::VARIANTS, "outcome" in [DataOutcome::Accepted]]
            = "avalon_client_data_total",
        /// Session keys that decrypted or verified client data: the player's current or previous one.
        keys: IntCounterVec["key" in ["current", "previous"]] = "avalon_session_keys_fitted_total",
        /// Nicknames submitted to WeChat's content check, by outcome.
        nicknames: IntCounterVec["outcome" in Checked::VARIANTS] = "avalon_nickname_checks_total",
        /// Session keys checked with WeChat because they did not fit client data, by outcome.
        probes: IntCounterVec["outcome" in Probed::VARIANTS] = "avalon_session_key_probes_total",
    }
}

impl ProfileMetrics {
    pub(crate) fn nickname(&self, checked: Checked) {
        self.nicknames.with_label_values(&[checked]).inc();
    }

    pub(crate) fn probed(&self, probed: Probed) {
        self.probes.with_label_values(&[probed]).inc();
    }

    pub(crate) fn key_fitted(&self, current: bool) {
        let key = if current { "current" } else { "previous" };
        self.keys.with_label_values(&[key]).inc();
    }

    pub(crate) fn data(&self, kind: DataKind, outcome: DataOutcome) {
        let labels = [kind.as_ref(), outcome.as_ref()];
        self.data.with_label_values(&labels).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_values_are_stable() {
        let kinds: Vec<&str> = DataKind::VARIANTS.iter().map(Into::into).collect();
        assert_eq!(kinds, ["profile", "raw_profile", "group"]);
        let outcomes: Vec<&str> = DataOutcome::VARIANTS.iter().map(Into::into).collect();
        assert_eq!(
            outcomes.join(" "),
            "taken key_does_not_fit no_watermark other_app other_player stale field_invalid no_group"
        );
    }
}
