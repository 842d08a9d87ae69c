//! Raw data with a login-state signature: two lines verbatim, or a text with its valid signature.
#![no_main]

use avalon_wechat::{RawData, SessionKey};
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use libfuzzer_sys::fuzz_target;
use secrecy::SecretString;

/// TEST KEY: base64 of 16 bytes.
const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZg==";

fuzz_target!(|data: &[u8]| {
    let Some((choice, rest)) = data.split_first() else {
        return;
    };
    let key = SessionKey::new(SecretString::from(KEY));
    let text = String::from_utf8_lossy(rest);
    if choice % 2 == 0 {
        let (raw, signature) = text.split_once('\n').unwrap_or((&text, ""));
        if let Ok(data) = RawData::parse(raw, signature) {
            let _ = data.open(&key);
        }
        return;
    }
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, format!("{text}{KEY}").as_bytes());
    let mut signature: String = hash
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    if let Ok(data) = RawData::parse(&text, &signature) {
        let _ = data.open(&key);
        // Any other signature is rejected.
        let last = if signature.pop() == Some('0') {
            '1'
        } else {
            '0'
        };
        signature.push(last);
        assert!(
            RawData::parse(&text, &signature)
                .unwrap()
                .open(&key)
                .is_err()
        );
    }
});
