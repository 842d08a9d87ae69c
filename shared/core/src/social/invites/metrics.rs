//! Metrics of invitations.

use avalon_metrics::metrics;
use strum::{AsRefStr, IntoStaticStr, VariantArray};

use super::InviteState;

/// What happened to an invitation. The names are label values.
#[derive(AsRefStr, Clone, Copy, Debug, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum InviteOutcome {
    /// A new player was attributed to an inviter.
    Attributed,
    /// The milestone was reached.
    Reached,
    /// See [`InviteState::Rewarded`].
    Rewarded,
    /// See [`InviteState::Capped`].
    Capped,
    /// See [`InviteState::Exhausted`].
    Exhausted,
    /// See [`InviteState::Refused`].
    Refused,
    /// The payment that counted was refunded.
    Returned,
    /// The rewards could not be granted, and will be tried again.
    Failed,
}

impl From<InviteState> for InviteOutcome {
    /// The outcome of a settlement that led to this state.
    fn from(state: InviteState) -> Self {
        match state {
            InviteState::Invited => Self::Returned,
            InviteState::Reached => Self::Reached,
            InviteState::Rewarded => Self::Rewarded,
            InviteState::Capped => Self::Capped,
            InviteState::Exhausted => Self::Exhausted,
            InviteState::Refused => Self::Refused,
        }
    }
}

metrics! {
    /// Counts invitations. Cheap to clone.
    pub struct InviteMetrics {
        /// Invitations, by outcome.
        invites: IntCounterVec["outcome" in InviteOutcome::VARIANTS] = "avalon_invites_total",
    }
}

impl InviteMetrics {
    pub(super) fn count(&self, outcome: InviteOutcome, number: u64) {
        self.invites
            .with_label_values(&[outcome.as_ref()])
            .inc_by(number);
    }
}
