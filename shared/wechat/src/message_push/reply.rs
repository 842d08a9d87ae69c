//! Encrypted replies, for events that demand one. Answers to payment events may be plain.

use jiff::Timestamp;

use super::query::Signed;
use super::signature::sign;
use super::{PushCredential, PushFormat};
use crate::AppId;
use crate::json_object::JsonObject;

/// An encrypted and signed reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncryptedReply {
    encrypt: String,
    msg_signature: String,
    timestamp: i64,
    nonce: String,
}

impl EncryptedReply {
    /// Encrypts a message with a credential's key; `None` when it has none. `random` must be fresh.
    pub fn seal(
        credential: &PushCredential,
        app_id: &AppId,
        message: &str,
        random: [u8; 16],
        now: Timestamp,
        nonce: &str,
    ) -> Option<Self> {
        let encrypt = credential.key.as_ref()?.seal(random, message, app_id)?;
        let timestamp = now.as_second();
        let signed = Signed {
            timestamp: &timestamp.to_string(),
            nonce,
        };
        Some(Self {
            msg_signature: sign(&credential.token, signed, Some(&encrypt)),
            encrypt,
            timestamp,
            nonce: nonce.to_owned(),
        })
    }

    /// Writes the body.
    pub fn body(&self, format: PushFormat) -> String {
        match format {
            PushFormat::Json => JsonObject::new()
                .field("Encrypt", self.encrypt.as_str())
                .field("MsgSignature", self.msg_signature.as_str())
                .field("TimeStamp", self.timestamp)
                .field("Nonce", self.nonce.as_str())
                .finish(),
            PushFormat::Xml => format!(
                "<xml><Encrypt>{}</Encrypt><MsgSignature>{}</MsgSignature><TimeStamp>{}</TimeStamp>\
                 <Nonce>{}</Nonce></xml>",
                self.encrypt,
                self.msg_signature,
                self.timestamp,
                quick_xml::escape::escape(&self.nonce),
            ),
        }
    }
}
