//! Requests signed with a session's key: the signed text, its headers, and verification. The session
//! store knows which nonces were used.
//!
//! `X-Avalon-Signature` is HMAC-SHA256 with the 32 bytes of the session's signing key, over these texts, all as
//! sent; without a query there is no `?`, without a key the line is empty.
//!
//! | version | header | signed text |
//! |---|---|---|
//! | 1 | base64 | `METHOD\nPATH?QUERY\nTIMESTAMP\nNONCE\nhex(SHA-256(body))` |
//! | 2 | `v2,` and base64 | `v2\nMETHOD\nPATH?QUERY\nTIMESTAMP\nNONCE\nIDEMPOTENCY-KEY\nhex(SHA-256(body))` |
//!
//! No method is `v2`, so a signature of one version is none of the other.

use std::time::Duration;

use aws_lc_rs::{digest, hmac};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;

use avalon_core::base::problem::ProblemCode;

/// Maximum difference between a timestamp and the server's time, in either direction.
pub const TOLERANCE: Duration = Duration::from_secs(300);
/// How long a used nonce is stored: at least as long as its timestamp is accepted.
pub const NONCE_TTL: Duration = Duration::from_secs(2 * 300 + 10);
/// Maximum length of a nonce, in characters.
const MAX_NONCE_LENGTH: usize = 128;

/// Why a signed request is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// A header is missing or malformed.
    #[error("{0}")]
    Malformed(&'static str),
    /// The timestamp is too old, or in the future.
    #[error("the timestamp is too far from the server's time")]
    Stale,
    /// Another request was signed, or another key was used.
    #[error("the signature does not match the request")]
    Wrong,
}

impl SignatureError {
    /// The problem code of the response.
    pub fn code(self) -> ProblemCode {
        match self {
            Self::Stale => ProblemCode::SignatureStale,
            Self::Malformed(_) | Self::Wrong => ProblemCode::SignatureInvalid,
        }
    }
}

/// The headers of a signed request, parsed but not yet verified.
#[derive(Clone, Debug)]
pub struct RequestSignature<'a> {
    timestamp: &'a str,
    nonce: &'a str,
    seconds: i64,
    version: SignatureVersion,
    signature: Vec<u8>,
}

/// What a signature covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureVersion {
    /// Method, path, query, time, nonce and body.
    V1,
    /// In addition the `Idempotency-Key`.
    V2,
}

impl SignatureVersion {
    /// Begins the value of the header, and with a line feed for the comma the signed text.
    const V2_PREFIX: &'static str = "v2,";
}

/// The parts of a request that its signature covers.
#[derive(Clone, Copy, Debug)]
pub struct SignedRequest<'a> {
    /// The method, in upper case.
    pub method: &'a str,
    /// Path and query as sent.
    pub path_and_query: &'a str,
    /// The header `Idempotency-Key`, empty if there is none. Covered by version 2.
    pub idempotency_key: &'a str,
    /// The body as sent, before decompression.
    pub body: &'a [u8],
}

impl<'a> RequestSignature<'a> {
    /// Parses the headers `X-Avalon-Timestamp`, `X-Avalon-Nonce` and `X-Avalon-Signature`, and compares
    /// the timestamp with `now`.
    ///
    /// # Errors
    /// [`SignatureError::Malformed`] names the header; [`SignatureError::Stale`].
    pub fn read(
        timestamp: Option<&'a str>,
        nonce: Option<&'a str>,
        signature: Option<&'a str>,
        now: Timestamp,
    ) -> Result<Self, SignatureError> {
        let malformed = SignatureError::Malformed;
        let timestamp = timestamp.filter(|text| {
            // One spelling, since the text is signed.
            text.len() <= 12 && text.bytes().all(|byte| byte.is_ascii_digit())
        });
        let timestamp = timestamp.ok_or(malformed("X-Avalon-Timestamp: must be Unix seconds"))?;
        let seconds: i64 = timestamp
            .parse()
            .map_err(|_| malformed("X-Avalon-Timestamp: must be Unix seconds"))?;
        let nonce = nonce.filter(|text| {
            (1..=MAX_NONCE_LENGTH).contains(&text.len())
                && text.bytes().all(|b| b.is_ascii_graphic())
        });
        let nonce = nonce.ok_or(malformed(
            "X-Avalon-Nonce: must be 1 to 128 visible ASCII characters",
        ))?;
        let (version, signature) = match signature {
            Some(text) => match text.strip_prefix(SignatureVersion::V2_PREFIX) {
                Some(signature) => (SignatureVersion::V2, Some(signature)),
                None => (SignatureVersion::V1, Some(text)),
            },
            None => (SignatureVersion::V1, None),
        };
        let signature = signature
            .and_then(|text| STANDARD.decode(text).ok())
            .filter(|bytes| bytes.len() == 32)
            .ok_or(malformed("X-Avalon-Signature: must be base64 of 32 bytes"))?;
        if now.as_second().abs_diff(seconds) > TOLERANCE.as_secs() {
            return Err(SignatureError::Stale);
        }
        Ok(Self {
            timestamp,
            nonce,
            seconds,
            version,
            signature,
        })
    }

    /// When the request was signed, Unix seconds by the client's clock.
    pub fn signed_at(&self) -> i64 {
        self.seconds
    }

    /// The nonce, to be claimed after the signature is verified.
    pub fn nonce(&self) -> &'a str {
        self.nonce
    }

    /// Verifies that this request was signed with `key`, in constant time.
    ///
    /// # Errors
    /// [`SignatureError::Wrong`].
    pub fn verify(&self, key: &[u8], request: SignedRequest<'_>) -> Result<(), SignatureError> {
        let text = text_to_sign(self.version, request, self.timestamp, self.nonce);
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        hmac::verify(&key, text.as_bytes(), &self.signature).map_err(|_| SignatureError::Wrong)
    }
}

/// Signs a request as clients do; returns the value of `X-Avalon-Signature`.
pub fn sign(
    version: SignatureVersion,
    key: &[u8],
    request: SignedRequest<'_>,
    timestamp: &str,
    nonce: &str,
) -> String {
    let text = text_to_sign(version, request, timestamp, nonce);
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let signature = STANDARD.encode(hmac::sign(&key, text.as_bytes()));
    match version {
        SignatureVersion::V1 => signature,
        SignatureVersion::V2 => format!("{}{signature}", SignatureVersion::V2_PREFIX),
    }
}

fn text_to_sign(
    version: SignatureVersion,
    request: SignedRequest<'_>,
    timestamp: &str,
    nonce: &str,
) -> String {
    let body = hex::encode(digest::digest(&digest::SHA256, request.body));
    let SignedRequest {
        method,
        path_and_query,
        idempotency_key,
        ..
    } = request;
    let common = format!("{method}\n{path_and_query}\n{timestamp}\n{nonce}\n");
    match version {
        SignatureVersion::V1 => format!("{common}{body}"),
        SignatureVersion::V2 => format!("v2\n{common}{idempotency_key}\n{body}"),
    }
}

#[cfg(test)]
mod tests;
