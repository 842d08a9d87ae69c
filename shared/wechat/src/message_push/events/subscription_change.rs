//! `subscribe_msg_change_event`: a player changed subscriptions in the settings. A rejection ends what was
//! granted.

use super::subscription::{self, SubscriptionChoice};
use crate::OpenId;
use crate::message_push::{AnswerForm, Envelope, InvalidEvent};

pub(super) const NAMES: &[&str] = &["subscribe_msg_change_event"];
pub(super) const ANSWER: AnswerForm = AnswerForm::Success;

/// A player's changes in the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionChange {
    /// The player.
    pub open_id: OpenId,
    /// One choice per template.
    pub choices: Vec<SubscriptionChoice>,
}

pub(super) fn read(envelope: &Envelope) -> Result<SubscriptionChange, InvalidEvent> {
    Ok(SubscriptionChange {
        open_id: subscription::player(envelope)?,
        choices: subscription::choices(envelope, "SubscribeMsgChangeEvent")?,
    })
}
