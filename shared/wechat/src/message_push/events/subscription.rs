//! What the subscription events have in common: a list of templates, which XML wraps once more.

use crate::OpenId;
use crate::message_push::fields::Fields;
use crate::message_push::{Envelope, InvalidEvent};

/// A player's choice for a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionChoice {
    /// The template.
    pub template_id: String,
    /// What the player chose.
    pub status: SubscriptionStatus,
    /// Where the popup was shown; the values for mini-games are unconfirmed.
    pub popup_scene: Option<String>,
}

/// What a player chose for a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubscriptionStatus {
    /// `accept`.
    Accepted,
    /// `reject`.
    Rejected,
    /// A value that this version does not know: no message may be sent because of it.
    Other(String),
}

pub(super) fn player(envelope: &Envelope) -> Result<OpenId, InvalidEvent> {
    let from = envelope.from_user_name.clone();
    from.map(OpenId::new).ok_or(InvalidEvent("FromUserName"))
}

/// Returns the entries of `List`, which XML puts into an element named `wrapper`.
pub(super) fn entries<'a>(
    envelope: &'a Envelope,
    wrapper: &str,
) -> Result<Vec<Fields<'a>>, InvalidEvent> {
    let fields = envelope.fields();
    fields.object(wrapper).unwrap_or(fields).list("List")
}

pub(super) fn choices(
    envelope: &Envelope,
    wrapper: &str,
) -> Result<Vec<SubscriptionChoice>, InvalidEvent> {
    let choice = |entry: Fields<'_>| {
        let status = entry.require_text("SubscribeStatusString")?;
        Ok(SubscriptionChoice {
            template_id: entry.require_text("TemplateId")?,
            status: match status.as_str() {
                "accept" => SubscriptionStatus::Accepted,
                "reject" => SubscriptionStatus::Rejected,
                _ => SubscriptionStatus::Other(status),
            },
            popup_scene: entry.text("PopupScene"),
        })
    };
    entries(envelope, wrapper)?
        .into_iter()
        .map(choice)
        .collect()
}
