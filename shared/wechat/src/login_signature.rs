//! The login-state signature, which proves to WeChat that we hold a player's session key.
//!
//! `hex(HMAC-SHA256(session_key, body))`, where the key is the base64 *text* of the session key and
//! the body of a GET is empty. Unlike here, `encrypted_data` uses the decoded bytes.

use aws_lc_rs::hmac::{self, HMAC_SHA256};

use crate::SessionKey;

/// Value of `sig_method`.
pub(crate) const METHOD: &str = "hmac_sha256";

/// Signs a body, which must be sent byte for byte as signed.
pub(crate) fn sign(session_key: &SessionKey, body: &[u8]) -> String {
    let key = hmac::Key::new(HMAC_SHA256, session_key.expose_secret().as_bytes());
    hex::encode(hmac::sign(&key, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SessionKey {
        SessionKey::new("o0q0otL8aEzpcZL/FT9WsQ==".into())
    }

    #[test]
    fn key_text_is_used_as_in_the_official_example() {
        assert_eq!(
            sign(&key(), br#"{"foo":"bar"}"#),
            "654571f79995b2ce1e149e53c0a33dc39c0a74090db514261454e8dbe432aa0b"
        );
    }

    #[test]
    fn get_signs_an_empty_body() {
        assert_eq!(
            sign(&key(), b""),
            "46e043c5525c2d817c44be603d30837a808a1d930d038f6fdc3e62a201fed128"
        );
    }

    #[test]
    fn body_is_signed_byte_for_byte() {
        let body = br#"{"kv_list":[{"key":"score","value":"{\"wxgame\":{\"score\":16,\"update_time\":1513080573},\"cost_ms\":36500}"}]}"#;
        assert_eq!(
            sign(&key(), body),
            "04c052a5f1bb5b1d86251597cbbccd1c35589ed9fb1b69da8b44e19f8870a229"
        );
    }
}
