//! Requests signed with a session's key: the signed text, its headers, and verification. The session
//! store knows which nonces were used.
//!
//! `X-Avalon-Signature` is base64 of HMAC-SHA256, with the 32 bytes of the session's signing key, over
//! `METHOD\nPATH?QUERY\nTIMESTAMP\nNONCE\nhex(SHA-256(body))`, all as sent; without a query there is
//! no `?`.

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
    signature: Vec<u8>,
}

/// The parts of a request that its signature covers.
#[derive(Clone, Copy, Debug)]
pub struct SignedRequest<'a> {
    /// The method, in upper case.
    pub method: &'a str,
    /// Path and query as sent.
    pub path_and_query: &'a str,
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
            signature,
        })
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
        let text = text_to_sign(request, self.timestamp, self.nonce);
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        hmac::verify(&key, text.as_bytes(), &self.signature).map_err(|_| SignatureError::Wrong)
    }
}

/// Signs a request as clients do; returns the value of `X-Avalon-Signature`.
pub fn sign(key: &[u8], request: SignedRequest<'_>, timestamp: &str, nonce: &str) -> String {
    let text = text_to_sign(request, timestamp, nonce);
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    STANDARD.encode(hmac::sign(&key, text.as_bytes()))
}

fn text_to_sign(request: SignedRequest<'_>, timestamp: &str, nonce: &str) -> String {
    let body = hex::encode(digest::digest(&digest::SHA256, request.body));
    let SignedRequest {
        method,
        path_and_query,
        ..
    } = request;
    format!("{method}\n{path_and_query}\n{timestamp}\n{nonce}\n{body}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8] = &[7; 32];
    const AT: &str = "1795480952";

    fn request<'a>(path_and_query: &'a str, body: &'a [u8]) -> SignedRequest<'a> {
        SignedRequest {
            method: "POST",
            path_and_query,
            body,
        }
    }

    fn now() -> Timestamp {
        Timestamp::from_second(AT.parse().unwrap()).unwrap()
    }

    #[test]
    fn signed_text_has_the_documented_form() {
        let text = text_to_sign(request("/api/wx/consume?a=1", b"{}"), AT, "n-1");
        let body = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
        assert_eq!(
            text,
            format!("POST\n/api/wx/consume?a=1\n1795480952\nn-1\n{body}")
        );
    }

    #[test]
    fn signature_covers_every_part_of_the_request() {
        let good = request("/api/wx/consume?a=1", b"{}");
        let signature = sign(KEY, good, AT, "n-1");
        let check = |key: &[u8], request, at, nonce| {
            RequestSignature::read(Some(at), Some(nonce), Some(&signature), now())
                .and_then(|read| read.verify(key, request))
        };
        assert_eq!(check(KEY, good, AT, "n-1"), Ok(()));
        let get = SignedRequest {
            method: "GET",
            ..good
        };
        for (request, at, nonce) in [
            (get, AT, "n-1"),
            (request("/api/wx/consum?a=1", b"{}"), AT, "n-1"),
            (request("/api/wx/consume?a=2", b"{}"), AT, "n-1"),
            (request("/api/wx/consume?a=1", b"{} "), AT, "n-1"),
            (good, "1795480953", "n-1"),
            (good, AT, "n-2"),
        ] {
            let refused = check(KEY, request, at, nonce);
            assert_eq!(refused, Err(SignatureError::Wrong), "{request:?}");
        }
        let other = check(&[8; 32], good, AT, "n-1");
        assert_eq!(other, Err(SignatureError::Wrong));
    }

    #[test]
    fn timestamps_more_than_five_minutes_off_are_stale() {
        let read = |at: i64| {
            let (at, signature) = (at.to_string(), sign(KEY, request("/", b""), AT, "n"));
            RequestSignature::read(Some(&at), Some("n"), Some(&signature), now()).map(|_| ())
        };
        let second = now().as_second();
        assert_eq!(read(second - 300), Ok(()));
        assert_eq!(read(second + 300), Ok(()));
        assert_eq!(read(second - 301), Err(SignatureError::Stale));
        assert_eq!(read(second + 301), Err(SignatureError::Stale));
    }

    #[test]
    fn error_names_the_missing_or_malformed_header() {
        let good = sign(KEY, request("/", b""), AT, "n");
        let read = |at: Option<&str>, nonce: Option<&str>, signature: Option<&str>| {
            match RequestSignature::read(at, nonce, signature, now()) {
                Err(SignatureError::Malformed(why)) => why.split(':').next().unwrap().to_owned(),
                other => format!("{:?}", other.map(|_| ())),
            }
        };
        let long = "n".repeat(129);
        for at in [
            None,
            Some(""),
            Some("soon"),
            Some("-5"),
            Some("1.5"),
            Some(" 1"),
        ] {
            assert_eq!(read(at, Some("n"), Some(&good)), "X-Avalon-Timestamp");
        }
        for nonce in [
            None,
            Some(""),
            Some("a b"),
            Some("a\nb"),
            Some(long.as_str()),
        ] {
            assert_eq!(read(Some(AT), nonce, Some(&good)), "X-Avalon-Nonce");
        }
        for signature in [None, Some(""), Some("!"), Some("AAAA"), Some(&good[1..])] {
            assert_eq!(read(Some(AT), Some("n"), signature), "X-Avalon-Signature");
        }
    }
}
