//! The state of a message: stored in its row, and returned by its job.

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

use crate::base::stored_text::stored_as_text;

/// The state of a message; the module comment of [`super`] has the table.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    Display,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum MessageStatus {
    /// Waits to be sent.
    Queued,
    /// A worker calls WeChat.
    Sending,
    /// WeChat accepted it.
    Sent,
    /// WeChat's answer was lost.
    Lost,
    /// WeChat rejects its content.
    Failed,
    /// The player accepts no more.
    Unsubscribed,
    /// The player has received the maximum of the day.
    Capped,
    /// It waited for too long.
    Expired,
}

stored_as_text!(MessageStatus);
