//! The signatures of a push: `lowerhex(sha1(concat(sort([token, timestamp, nonce, …]))))`, sorted by bytes.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{self, SHA1_FOR_LEGACY_USE_ONLY};
use secrecy::ExposeSecret;

use super::PushToken;
use super::query::Signed;

/// Returns the signature of a query, or with `encrypt` that of an encrypted message.
pub(super) fn sign(token: &PushToken, signed: Signed<'_>, encrypt: Option<&str>) -> String {
    let mut parts = vec![token.0.expose_secret(), signed.timestamp, signed.nonce];
    parts.extend(encrypt);
    parts.sort_unstable();
    let mut sha1 = digest::Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    for part in parts {
        sha1.update(part.as_bytes());
    }
    hex::encode(sha1.finish())
}

/// Compares in constant time. WeChat writes lower case; upper case is another text.
pub(super) fn is_equal(expected: &str, received: &str) -> bool {
    verify_slices_are_equal(expected.as_bytes(), received.as_bytes()).is_ok()
}
