//! `minigame_notify_msg`: a notice of the platform, for example of a review or a violation. The form of its
//! answer is unconfirmed; published handlers answer with an `ErrCode`.

use crate::message_push::{AnswerForm, Envelope, InvalidEvent};

pub(super) const NAMES: &[&str] = &["minigame_notify_msg"];
pub(super) const ANSWER: AnswerForm = AnswerForm::ErrCode;

/// A notice for the operators of the game.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlatformNotice {
    /// The title.
    pub title: Option<String>,
    /// The text.
    pub content: Option<String>,
}

/// Accepts any notice: its form is unconfirmed.
#[expect(clippy::unnecessary_wraps, reason = "all events are read alike")]
pub(super) fn read(envelope: &Envelope) -> Result<PlatformNotice, InvalidEvent> {
    Ok(PlatformNotice {
        title: envelope.fields().text("Title"),
        content: envelope.fields().text("Content"),
    })
}
