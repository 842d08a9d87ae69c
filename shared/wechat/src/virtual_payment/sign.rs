//! The signatures of virtual payment: lower-case hex of HMAC-SHA256, over the bytes as sent.
//!
//! | signature | key | message |
//! |---|---|---|
//! | `pay_sig` of a server call | AppKey | path, `&`, body |
//! | `signature` of a server call | session key (base64 text) | body |
//! | `paySig` of the client | AppKey | `requestMidasPaymentGameItem&`, `signData` |
//! | `signature` of the client | session key (base64 text) | `signData` |
//! | `PayEventSig` of a push | AppKey | event, `&`, payload |

use aws_lc_rs::hmac::{self, HMAC_SHA256};

use super::AppKey;
use crate::{SessionKey, login_signature as login};

/// What the client's call is named in `paySig`.
const CLIENT_CALL: &str = "requestMidasPaymentGameItem";

/// Signs a server call. `path` has neither host nor query (`/wxa/game/pay`).
pub fn pay_sig(key: &AppKey, path: &str, body: &[u8]) -> String {
    prefixed(key, path, body)
}

/// Proves possession of the player's session key for a body, or for the client's `signData`.
pub fn login_signature(key: &SessionKey, body: &[u8]) -> String {
    login::sign(key, body)
}

/// Signs the client's `signData`.
pub fn client_pay_sig(key: &AppKey, sign_data: &str) -> String {
    prefixed(key, CLIENT_CALL, sign_data.as_bytes())
}

/// Returns the signature that WeChat puts on the payload of a push.
pub fn pay_event_sig(key: &AppKey, event: &str, payload: &str) -> String {
    prefixed(key, event, payload.as_bytes())
}

fn prefixed(key: &AppKey, prefix: &str, message: &[u8]) -> String {
    let key = hmac::Key::new(HMAC_SHA256, key.as_bytes());
    let mut mac = hmac::Context::with_key(&key);
    mac.update(prefix.as_bytes());
    mac.update(b"&");
    mac.update(message);
    hex::encode(mac.sign())
}

#[cfg(test)]
mod tests {
    use super::super::vectors::{self, app_key, cases, session_key, text};
    use super::*;
    use serde_json::Value;

    fn signed_with(case: &'static Value) -> (String, String) {
        let body = text(&case["body"]).as_bytes();
        let env = case["env"].as_i64().unwrap_or_default();
        (
            pay_sig(&app_key(env), text(&case["uri"]), body),
            login_signature(&session_key(), body),
        )
    }

    #[test]
    fn official_vectors_match() {
        for case in cases("official") {
            let body = text(&case["body"]).as_bytes();
            let key = SessionKey::new(text(&case["session_key"]).into());
            assert_eq!(login_signature(&key, body), case["signature"]);
            if let Some(app_key) = case["app_key"].as_str() {
                let app_key = AppKey::new(app_key.into());
                assert_eq!(pay_sig(&app_key, text(&case["uri"]), body), case["pay_sig"]);
            }
        }
    }

    #[test]
    fn server_call_vectors_match() {
        assert_eq!(cases("server_calls").len(), 7);
        for case in cases("server_calls") {
            let (pay, login) = signed_with(case);
            assert_eq!(pay, case["pay_sig"], "{}", case["name"]);
            assert_eq!(login, case["signature"], "{}", case["name"]);
        }
    }

    #[test]
    fn login_state_vectors_match() {
        for case in cases("login_state_only") {
            let signature = login_signature(&session_key(), text(&case["body"]).as_bytes());
            assert_eq!(signature, case["signature"], "{}", case["name"]);
        }
    }

    #[test]
    fn client_call_vectors_match() {
        for case in cases("client_calls") {
            let data = text(&case["signData"]);
            let key = case["session_key"].as_str();
            let key = key.map_or_else(session_key, |key| SessionKey::new(key.into()));
            let env = case["env"].as_i64().unwrap();
            assert_eq!(client_pay_sig(&app_key(env), data), case["paySig"]);
            assert_eq!(login_signature(&key, data.as_bytes()), case["signature"]);
        }
    }

    /// Calls that WeChat refuses for a signature: ours differ from theirs.
    #[test]
    fn refused_server_signatures_differ_from_ours() {
        let mut seen = 0;
        for case in cases("negatives")
            .iter()
            .filter(|case| case["uri"].is_string())
        {
            let (pay, login) = signed_with(case);
            let wrong_pay = pay != case["pay_sig"];
            let wrong_login = login != case["signature"];
            let name = text(&case["name"]);
            match vectors::expected(case).as_slice() {
                [90011] => assert!(wrong_pay && !wrong_login, "{name}"),
                [90010] | [90010, 90016] => assert!(!wrong_pay && wrong_login, "{name}"),
                [90010, 90011] => assert!(wrong_pay && wrong_login, "{name}"),
                // Refused for a parameter, under right signatures.
                [90018] => assert!(!wrong_pay && !wrong_login, "{name}"),
                other => panic!("{name}: {other:?}"),
            }
            seen += 1;
        }
        assert_eq!(seen, 12);
    }

    #[test]
    fn refused_client_signatures_differ_from_ours() {
        let of_client = |case: &&Value| case["signData"].is_string();
        let mut seen = 0;
        for case in cases("negatives").iter().filter(of_client) {
            let data = text(&case["signData"]);
            let wrong_pay = client_pay_sig(&app_key(0), data) != case["paySig"];
            let wrong_login = login_signature(&session_key(), data.as_bytes()) != case["signature"];
            let name = text(&case["name"]);
            match vectors::expected(case).as_slice() {
                [-15014] => assert!(wrong_pay && !wrong_login, "{name}"),
                [-15012, -15014] => assert!(wrong_pay && wrong_login, "{name}"),
                // Refused for the price, under right signatures.
                [-15016] => assert!(!wrong_pay && !wrong_login, "{name}"),
                other => panic!("{name}: {other:?}"),
            }
            seen += 1;
        }
        assert_eq!(seen, 3);
    }
}
