//! `user_info_modified`: WeChat cleaned a profile that was a risk: nickname and avatar are to be cleared.
//! The player is `OpenID`, not the sender.

use crate::message_push::{AnswerForm, Envelope, InvalidEvent};
use crate::{OpenId, UnionId};

pub(super) const NAMES: &[&str] = &["user_info_modified"];
pub(super) const ANSWER: AnswerForm = AnswerForm::Success;

/// A player whose nickname and avatar WeChat cleaned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserInfoModified {
    /// The player.
    pub open_id: OpenId,
    /// The player across apps.
    pub union_id: Option<UnionId>,
    /// The app that the event is about, if it says so.
    pub app_id: Option<String>,
}

pub(super) fn read(envelope: &Envelope) -> Result<UserInfoModified, InvalidEvent> {
    let fields = envelope.fields();
    Ok(UserInfoModified {
        open_id: OpenId::new(fields.require_text("OpenID")?),
        union_id: fields.text("UnionID").map(UnionId::new),
        app_id: fields.text("AppID"),
    })
}
