//! `subscribe_msg_sent_event`: what became of subscription messages that we sent.

use super::subscription;
use crate::OpenId;
use crate::message_push::fields::Fields;
use crate::message_push::{AnswerForm, DuplicateKey, Envelope, InvalidEvent};

pub(super) const NAMES: &[&str] = &["subscribe_msg_sent_event"];
pub(super) const ANSWER: AnswerForm = AnswerForm::Success;

/// Messages that were sent to a player.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionSent {
    /// The player.
    pub open_id: OpenId,
    /// The messages, usually one.
    pub messages: Vec<SentMessage>,
}

/// The delivery of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentMessage {
    /// The template.
    pub template_id: String,
    /// The id that WeChat returned when it was sent.
    pub message_id: String,
    /// 0 when it was delivered.
    pub error_code: i64,
    /// WeChat's word for the outcome, for example `success`.
    pub status: Option<String>,
}

pub(super) fn read(envelope: &Envelope) -> Result<SubscriptionSent, InvalidEvent> {
    let message = |entry: Fields<'_>| {
        Ok(SentMessage {
            template_id: entry.require_text("TemplateId")?,
            message_id: entry.require_text("MsgID")?,
            error_code: entry.require_integer("ErrorCode")?,
            status: entry.text("ErrorStatus"),
        })
    };
    let entries = subscription::entries(envelope, "SubscribeMsgSentEvent")?;
    let messages = entries.into_iter().map(message);
    Ok(SubscriptionSent {
        open_id: subscription::player(envelope)?,
        messages: messages.collect::<Result<_, _>>()?,
    })
}

impl SubscriptionSent {
    /// Returns the key of a single message; several have none.
    pub(super) fn own_key(&self) -> Option<DuplicateKey> {
        match self.messages.as_slice() {
            [message] => Some(DuplicateKey::of("sent", &[&message.message_id])),
            _ => None,
        }
    }
}
