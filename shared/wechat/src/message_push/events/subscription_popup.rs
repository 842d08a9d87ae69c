//! `subscribe_msg_popup_event`: a player answered a subscription popup.

use super::subscription::{self, SubscriptionChoice};
use crate::OpenId;
use crate::message_push::{AnswerForm, Envelope, InvalidEvent};

pub(super) const NAMES: &[&str] = &["subscribe_msg_popup_event"];
pub(super) const ANSWER: AnswerForm = AnswerForm::Success;

/// A player's answers in a popup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionPopup {
    /// The player.
    pub open_id: OpenId,
    /// One choice per template.
    pub choices: Vec<SubscriptionChoice>,
}

pub(super) fn read(envelope: &Envelope) -> Result<SubscriptionPopup, InvalidEvent> {
    Ok(SubscriptionPopup {
        open_id: subscription::player(envelope)?,
        choices: subscription::choices(envelope, "SubscribeMsgPopupEvent")?,
    })
}
