//! The signature headers of WeChat's responses and callbacks, and the checks that need no key (§2).

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use reqwest::header::HeaderMap;
use serde::{Deserialize, Serialize};
use strum::AsRefStr;

use super::Serial;

/// Maximum clock skew between WeChat and us, in seconds, in either direction, inclusive.
pub const WINDOW_SECONDS: i64 = 300;

const TIMESTAMP: &str = "Wechatpay-Timestamp";
const NONCE: &str = "Wechatpay-Nonce";
const SIGNATURE: &str = "Wechatpay-Signature";
const SERIAL: &str = "Wechatpay-Serial";
const SIGNATURE_TYPE: &str = "Wechatpay-Signature-Type";

const RSA: &str = "WECHATPAY2-SHA256-RSA2048";
/// Prefix of the deliberately wrong signatures that WeChat occasionally sends as probes (§2.5).
const SIGN_TEST: &str = "WECHATPAY/SIGNTEST/";

/// The `Wechatpay-*` headers of a message, verbatim. Can be stored with the raw body.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignatureHeaders {
    /// `Wechatpay-Timestamp`: Unix seconds.
    pub timestamp: Option<String>,
    /// `Wechatpay-Nonce`.
    pub nonce: Option<String>,
    /// `Wechatpay-Signature`: base64.
    pub signature: Option<String>,
    /// `Wechatpay-Serial`: id of the signing key.
    pub serial: Option<String>,
    /// `Wechatpay-Signature-Type`: absent means RSA.
    pub signature_type: Option<String>,
}

/// Reason why a message cannot be authenticated as WeChat's, in the order of the checks (§2.3).
/// Its names are metric labels and log fields.
#[derive(AsRefStr, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[strum(serialize_all = "snake_case")]
pub enum VerifyError {
    /// A header is missing or empty.
    #[error("the header {0} is missing")]
    MissingHeader(&'static str),
    /// Signed with a suite other than RSA with SHA-256.
    #[error("the signature type is unknown")]
    UnknownSignatureType,
    /// Not a non-negative integer.
    #[error("the timestamp is not a number of seconds")]
    BadTimestamp,
    /// Differs from our time by more than [`WINDOW_SECONDS`].
    #[error("the timestamp differs from the server's time by {0} s")]
    Stale(u64),
    /// A deliberately wrong signature by which WeChat tests whether we verify; not an attack (§2.5).
    #[error("the signature is a WeChat probe")]
    SignTest,
    /// The signature cannot be decoded.
    #[error("the signature is not base64")]
    BadBase64,
    /// The key is unknown; it may be among newer certificates.
    #[error("the key {0} is unknown")]
    UnknownSerial(Serial),
    /// The signature does not match the message.
    #[error("the signature is invalid")]
    BadSignature,
    /// The key is unknown, and the named header is not of a form that WeChat uses. Only callbacks: any
    /// client can send one.
    #[error("the key is unknown, and {0} is not of the form that WeChat uses")]
    Implausible(&'static str),
}

/// Maximum length of a nonce; WeChat's have 32 characters.
const MAX_NONCE: usize = 128;
/// Length of an RSA signature by a key of 2048 to 4096 bits, in base64. WeChat's keys have 2048.
const SIGNATURE_LENGTH: std::ops::RangeInclusive<usize> = 344..=684;

/// A message with valid headers whose signature remains to be verified.
pub(super) struct Signed {
    pub(super) serial: Serial,
    pub(super) message: Vec<u8>,
    pub(super) signature: Vec<u8>,
}

impl SignatureHeaders {
    /// Extracts the headers from an HTTP message.
    pub fn from_http(headers: &HeaderMap) -> Self {
        let take = |name: &str| {
            let value = headers.get(name)?;
            // A value that is not UTF-8 fails one of the later checks.
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

    /// Returns the header that is not of the form that WeChat uses, if any. What is stored because its key is
    /// unknown must pass: anyone can make a key up.
    pub(super) fn implausible(&self) -> Option<&'static str> {
        let length = |value: &Option<String>| value.as_deref().map_or(0, str::len);
        let serial = self.serial.as_deref().unwrap_or_default().trim();
        if !Serial::new(serial).is_plausible() {
            Some(SERIAL)
        } else if !SIGNATURE_LENGTH.contains(&length(&self.signature)) {
            Some(SIGNATURE)
        } else if length(&self.nonce) > MAX_NONCE {
            Some(NONCE)
        } else {
            None
        }
    }

    /// Performs the checks that need no key (§2.3, steps 1 to 3).
    ///
    /// Rejects probes and undecodable signatures before the key is looked up: a callback with an
    /// unknown serial is otherwise accepted and verified later, which must never happen to a probe.
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
        let skew = seconds(timestamp)?.abs_diff(now.as_second());
        if skew > WINDOW_SECONDS.unsigned_abs() {
            return Err(VerifyError::Stale(skew));
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

/// Parses digits only: `parse` alone would also accept a sign.
fn seconds(text: &str) -> Result<i64, VerifyError> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(VerifyError::BadTimestamp);
    }
    text.parse().map_err(|_| VerifyError::BadTimestamp)
}
