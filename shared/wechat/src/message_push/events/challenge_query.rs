//! `query_challenge_reward`: the arena asks how much of an item a player has. The form of its answer is
//! unconfirmed.

use crate::OpenId;
use crate::message_push::{AnswerForm, Envelope, InvalidEvent};

pub(super) const NAMES: &[&str] = &["query_challenge_reward"];
pub(super) const ANSWER: AnswerForm = AnswerForm::ErrCode;

/// A question about a player's items.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChallengeQuery {
    /// The player.
    pub open_id: OpenId,
    /// The item.
    pub item_id: String,
}

pub(super) fn read(envelope: &Envelope) -> Result<ChallengeQuery, InvalidEvent> {
    let query = envelope.fields().require_object("QueryReward")?;
    Ok(ChallengeQuery {
        open_id: OpenId::new(query.require_text("ToUserOpenid")?),
        item_id: query.require_text("ItemID")?,
    })
}
