//! `user_authorization_revoke`: the user withdrew consent; what it covered is to be deleted. The player is
//! `OpenID`, not the sender.

use crate::message_push::{AnswerForm, Envelope, InvalidEvent};
use crate::{OpenId, UnionId};

pub(super) const NAMES: &[&str] = &["user_authorization_revoke"];
pub(super) const ANSWER: AnswerForm = AnswerForm::Success;

/// A player who withdrew consent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorizationRevoked {
    /// The player.
    pub open_id: OpenId,
    /// The player across apps.
    pub union_id: Option<UnionId>,
    /// The app that the event is about, if it says so.
    pub app_id: Option<String>,
    /// Which consent, as a number of a list that is unconfirmed for mini-games: an unknown or absent one
    /// means all.
    pub revoke_info: Option<String>,
}

pub(super) fn read(envelope: &Envelope) -> Result<AuthorizationRevoked, InvalidEvent> {
    let fields = envelope.fields();
    Ok(AuthorizationRevoked {
        open_id: OpenId::new(fields.require_text("OpenID")?),
        union_id: fields.text("UnionID").map(UnionId::new),
        app_id: fields.text("AppID"),
        revoke_info: fields.text("RevokeInfo"),
    })
}
