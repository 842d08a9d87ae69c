//! The signature headers of WeChat's answers and callbacks, and what can be wrong with them (§2).

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use reqwest::header::HeaderMap;
use serde::{Deserialize, Serialize};

use super::Serial;

/// How far WeChat's clock and ours may be apart, in seconds, either way. Exactly this much passes.
pub const WINDOW_SECONDS: i64 = 300;

const TIMESTAMP: &str = "Wechatpay-Timestamp";
const NONCE: &str = "Wechatpay-Nonce";
const SIGNATURE: &str = "Wechatpay-Signature";
const SERIAL: &str = "Wechatpay-Serial";
const SIGNATURE_TYPE: &str = "Wechatpay-Signature-Type";

const RSA: &str = "WECHATPAY2-SHA256-RSA2048";
/// The deliberately wrong signatures that WeChat sends now and then begin with this (§2.5).
const SIGN_TEST: &str = "WECHATPAY/SIGNTEST/";

/// The `Wechatpay-*` headers of a message, as they came. Can be stored beside the raw body.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignatureHeaders {
    /// `Wechatpay-Timestamp`: Unix seconds.
    pub timestamp: Option<String>,
    /// `Wechatpay-Nonce`.
    pub nonce: Option<String>,
    /// `Wechatpay-Signature`: base64.
    pub signature: Option<String>,
    /// `Wechatpay-Serial`: which key signed.
    pub serial: Option<String>,
    /// `Wechatpay-Signature-Type`: absent means RSA.
    pub signature_type: Option<String>,
}

/// Why a message is not believed to come from WeChat, in the order of the checks (§2.3).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// A header is not there or empty.
    #[error("the header {0} is missing")]
    MissingHeader(&'static str),
    /// Signed with another suite than RSA and SHA-256.
    #[error("the signature is of an unknown type")]
    UnknownSignatureType,
    /// Not a plain non-negative number.
    #[error("the timestamp is not a number of seconds")]
    BadTimestamp,
    /// Further from our time than [`WINDOW_SECONDS`].
    #[error("the timestamp is {0} s away from our time")]
    Stale(u64),
    /// WeChat's probe whether we verify at all: wrong on purpose, no attack (§2.5).
    #[error("the signature is one of WeChat's probes")]
    SignTest,
    /// The signature cannot be decoded.
    #[error("the signature is not base64")]
    BadBase64,
    /// No key of this id is at hand; new certificates may bring it.
    #[error("there is no key {0}")]
    UnknownSerial(Serial),
    /// The key did not make this signature over these bytes.
    #[error("the signature does not fit")]
    BadSignature,
}

impl VerifyError {
    /// The cause as a metrics label or log field.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::MissingHeader(_) => "missing_header",
            Self::UnknownSignatureType => "unknown_signature_type",
            Self::BadTimestamp => "bad_timestamp",
            Self::Stale(_) => "stale",
            Self::SignTest => "sign_test",
            Self::BadBase64 => "bad_base64",
            Self::UnknownSerial(_) => "unknown_serial",
            Self::BadSignature => "bad_signature",
        }
    }
}

/// What is left to check when the headers are in order.
pub(super) struct Signed {
    pub(super) serial: Serial,
    pub(super) message: Vec<u8>,
    pub(super) signature: Vec<u8>,
}

impl SignatureHeaders {
    /// Takes the headers out of an HTTP message.
    pub fn from_http(headers: &HeaderMap) -> Self {
        let take = |name: &str| {
            let value = headers.get(name)?;
            // What is not text fails one of the checks, under its own name.
            Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        Self {
            timestamp: take(TIMESTAMP),
            nonce: take(NONCE),
            signature: take(SIGNATURE),
            serial: take(SERIAL),
            signature_type: take(SIGNATURE_TYPE),
        }
    }

    /// Everything that needs no key (§2.3, steps 1 to 3).
    ///
    /// Probes and undecodable signatures are found here, before the key is looked up, since no key
    /// could ever make them good: a callback with an unknown serial is otherwise accepted and judged
    /// later, and a probe must never be.
    pub(super) fn check(&self, body: &[u8], now: Timestamp) -> Result<Signed, VerifyError> {
        let timestamp = present(&self.timestamp, TIMESTAMP)?;
        let nonce = present(&self.nonce, NONCE)?;
        let signature = present(&self.signature, SIGNATURE)?;
        let serial = present(&self.serial, SERIAL)?;
        if let Some(signature_type) = &self.signature_type
            && signature_type.trim() != RSA
        {
            return Err(VerifyError::UnknownSignatureType);
        }
        let distance = seconds(timestamp)?.abs_diff(now.as_second());
        if distance > WINDOW_SECONDS.unsigned_abs() {
            return Err(VerifyError::Stale(distance));
        }
        if signature.starts_with(SIGN_TEST) {
            return Err(VerifyError::SignTest);
        }
        let signature = BASE64_STANDARD
            .decode(signature)
            .map_err(|_| VerifyError::BadBase64)?;
        let mut message = format!("{timestamp}\n{nonce}\n").into_bytes();
        message.extend_from_slice(body);
        message.push(b'\n');
        Ok(Signed {
            serial: Serial::new(serial),
            message,
            signature,
        })
    }
}

fn present<'a>(value: &'a Option<String>, name: &'static str) -> Result<&'a str, VerifyError> {
    let value = value
        .as_deref()
        .map(str::trim)
        .filter(|value| !value.is_empty());
    value.ok_or(VerifyError::MissingHeader(name))
}

/// Digits only: `parse` alone would also take a sign.
fn seconds(text: &str) -> Result<i64, VerifyError> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(VerifyError::BadTimestamp);
    }
    text.parse().map_err(|_| VerifyError::BadTimestamp)
}
