//! `user_authorization_cancellation`: the user closed the account: the player is to be erased.
//! The player is `OpenID`, not the sender.

use crate::message_push::{AnswerForm, Envelope, InvalidEvent};
use crate::{OpenId, UnionId};

pub(super) const NAMES: &[&str] = &["user_authorization_cancellation"];
pub(super) const ANSWER: AnswerForm = AnswerForm::Success;

/// A player who closed the account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountCancelled {
    /// The player.
    pub open_id: OpenId,
    /// The player across apps.
    pub union_id: Option<UnionId>,
    /// The app that the event is about, if it says so.
    pub app_id: Option<String>,
}

pub(super) fn read(envelope: &Envelope) -> Result<AccountCancelled, InvalidEvent> {
    let fields = envelope.fields();
    Ok(AccountCancelled {
        open_id: OpenId::new(fields.require_text("OpenID")?),
        union_id: fields.text("UnionID").map(UnionId::new),
        app_id: fields.text("AppID"),
    })
}
