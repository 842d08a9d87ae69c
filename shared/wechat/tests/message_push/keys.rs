//! Secrets are not shown by `Debug`.

use crate::vectors::{app_keys, credential, key, secure, settings};

#[test]
fn debug_shows_no_secret() {
    let settings = settings(
        key("app_id"),
        vec![credential("a", key("token"), Some(key("encoding_aes_key")))],
    );
    let shown = format!("{settings:?} {:?} {:?}", secure(), app_keys());
    for secret in [
        key("token"),
        key("previous_token"),
        key("encoding_aes_key"),
        "Nq7Zc1yVb0TgKx5LrPw3HdSf8JmUa2Ei",
    ] {
        assert!(!shown.contains(secret), "{shown}");
    }
    // Nor the decoded key.
    assert!(!shown.contains("66, 109, 241"), "{shown}");
}
