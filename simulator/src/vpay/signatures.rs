//! The signatures of virtual payment and of pushes, written independently of the service's.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use aws_lc_rs::hmac::{self, HMAC_SHA256};

/// Lower-case hex of the HMAC-SHA256 of a message, under the text of a key.
pub(crate) fn hmac_hex(key: &str, message: &[u8]) -> String {
    let key = hmac::Key::new(HMAC_SHA256, key.as_bytes());
    hex::encode(hmac::sign(&key, message))
}

/// Signs a server call (`uri` is the path), a client call or an event.
pub(crate) fn pay_sig(app_key: &str, uri: &str, message: &[u8]) -> String {
    hmac_hex(app_key, &[uri.as_bytes(), b"&", message].concat())
}

/// Signs a push: SHA-1 of the sorted texts.
pub(crate) fn push_signature(mut texts: Vec<&str>) -> String {
    texts.sort_unstable();
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, texts.concat().as_bytes());
    hex::encode(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn official_vectors_match() {
        let body = br#"{"offer_id": "12345678", "openid": "oUrsfxxxxxxxxxx", "ts": 1668136271, "zone_id": "1", "env": 0}"#;
        assert_eq!(
            pay_sig("12345", "/wxa/game/getbalance", body),
            "11bac6388871d29c055c7d16fbe42e8d646855b666faf89b15c815218b1b23bd"
        );
        assert_eq!(
            hmac_hex("9hAb/NEYUlkaMBEsmFgzig==", body),
            "42fe1d3341fb1c8bd6f5014ba735ab04eacc80a2deb3ab4669eab4700b5b6729"
        );
        assert_eq!(
            push_signature(vec!["AAAAA", "1714036504", "1514711492"]),
            "f464b24fc39322e44b38aa78f5edd27bd1441696"
        );
    }
}
