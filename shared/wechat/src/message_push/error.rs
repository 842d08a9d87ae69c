//! Reasons why a push is refused or cannot be read: one per cause, for logs, metrics and diagnosis. None
//! holds any content.

use strum::{AsRefStr, IntoStaticStr};

use super::DecryptError;

/// A push that cannot be processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// A query parameter is missing or empty.
    #[error("the query has no {0}")]
    Missing(&'static str),
    /// `timestamp` is not a number of seconds.
    #[error("the timestamp is not a number")]
    Timestamp,
    /// `signature` was made with none of our tokens.
    #[error("the signature matches no token")]
    Signature,
    /// `msg_signature` was made with none of our tokens.
    #[error("the msg_signature matches no token")]
    MsgSignature,
    /// The timestamp differs from ours by too many seconds.
    #[error("the timestamp differs from the server's by {0} s")]
    Stale(u64),
    /// The message is not encrypted, and that is not allowed: nothing would sign its content.
    #[error("the message is not encrypted; plain mode is not allowed")]
    Plain,
    /// The body cannot be read, so its signature cannot be verified.
    #[error("the body cannot be read: {0}")]
    Body(#[source] Unreadable),
    /// Authentic and encrypted, but no key is configured for its token.
    #[error("no EncodingAESKey is configured for the token of this message")]
    NoKey,
    /// Authentic, but it does not decrypt.
    #[error(transparent)]
    Decrypt(#[from] DecryptError),
    /// Authentic and decrypted, but not a message.
    #[error("the message cannot be read: {0}")]
    Message(#[source] Unreadable),
}

/// What to do with a push that cannot be processed.
#[derive(AsRefStr, Clone, Copy, Debug, PartialEq, Eq, Hash, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum PushVerdict {
    /// Not authentic: nothing is stored.
    Refused,
    /// Authentic, but for another app: the console's settings are mixed up.
    OtherApp,
    /// Authentic, but not readable: most likely a wrong EncodingAESKey.
    Unreadable,
}

impl PushError {
    /// Returns what to do with the push.
    pub fn verdict(self) -> PushVerdict {
        match self {
            Self::Missing(_)
            | Self::Timestamp
            | Self::Signature
            | Self::MsgSignature
            | Self::Stale(_)
            | Self::Plain
            | Self::Body(_) => PushVerdict::Refused,
            Self::Decrypt(DecryptError::OtherApp) => PushVerdict::OtherApp,
            Self::NoKey | Self::Decrypt(_) | Self::Message(_) => PushVerdict::Unreadable,
        }
    }
}

/// Reason why a body or message cannot be read.
#[derive(AsRefStr, Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[strum(serialize_all = "snake_case")]
pub enum Unreadable {
    /// Longer than any push.
    #[error("it is too long")]
    TooLong,
    /// Not UTF-8.
    #[error("it is not UTF-8")]
    NotUtf8,
    /// Neither JSON nor XML.
    #[error("it is not JSON")]
    NotJson,
    /// Malformed XML.
    #[error("it is not well-formed XML")]
    NotXml,
    /// XML with a DTD, which is never read.
    #[error("it has a document type definition")]
    Doctype,
    /// XML with an entity other than the five predefined ones.
    #[error("it has an unknown entity")]
    Entity,
    /// Nested too deeply.
    #[error("it is nested too deeply")]
    TooDeep,
    /// Not an object with fields.
    #[error("it is not an object")]
    NotObject,
    /// Sent as encrypted, but without a ciphertext.
    #[error("it has no Encrypt")]
    NoEncrypt,
}

/// An event that we know, without what it must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}: the field is missing or has a value of the wrong type")]
pub struct InvalidEvent(pub &'static str);
