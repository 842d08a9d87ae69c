//! The query of a push: what WeChat signs, apart from the message.

use jiff::Timestamp;
use serde::Deserialize;

use super::PushError;

/// The query parameters of a push or a URL verification, as received. Others are ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct PushQuery {
    /// Signs token, timestamp and nonce.
    pub signature: Option<String>,
    /// Unix time in seconds.
    pub timestamp: Option<String>,
    /// A random text.
    pub nonce: Option<String>,
    /// Signs the encrypted message as well; the only one that counts for it.
    pub msg_signature: Option<String>,
    /// `aes` when the message is encrypted.
    pub encrypt_type: Option<String>,
    /// To be returned by a URL verification.
    pub echostr: Option<String>,
}

/// Timestamp and nonce, which every signature covers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signed<'a> {
    pub(super) timestamp: &'a str,
    pub(super) nonce: &'a str,
}

impl PushQuery {
    pub(super) fn signed(&self) -> Result<Signed<'_>, PushError> {
        Ok(Signed {
            timestamp: required("timestamp", &self.timestamp)?,
            nonce: required("nonce", &self.nonce)?,
        })
    }

    pub(super) fn signature(&self) -> Result<&str, PushError> {
        required("signature", &self.signature)
    }

    pub(super) fn msg_signature(&self) -> Result<&str, PushError> {
        required("msg_signature", &self.msg_signature)
    }

    pub(super) fn echostr(&self) -> Result<&str, PushError> {
        required("echostr", &self.echostr)
    }

    pub(super) fn is_encrypted(&self) -> bool {
        self.encrypt_type.as_deref() == Some("aes")
    }
}

impl Signed<'_> {
    pub(super) fn time(&self) -> Result<Timestamp, PushError> {
        let seconds = self.timestamp.parse().map_err(|_| PushError::Timestamp)?;
        Timestamp::from_second(seconds).map_err(|_| PushError::Timestamp)
    }
}

fn required<'a>(name: &'static str, value: &'a Option<String>) -> Result<&'a str, PushError> {
    match value.as_deref() {
        None | Some("") => Err(PushError::Missing(name)),
        Some(value) => Ok(value),
    }
}
