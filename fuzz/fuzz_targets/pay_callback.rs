//! WeChat Pay callbacks: arbitrary envelopes, and arbitrary plaintexts in a valid envelope.
#![no_main]

use std::sync::LazyLock;

use avalon_wechat::pay::{ApiV3Key, Notification, OpenError};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

/// TEST KEY of the test vectors.
const KEY: &str = "0aB1cD2eF3gH4iJ5kL6mN7oP8qR9sT0u";
const NONCE: &[u8; 12] = b"k1J2h3G4f5D6";
const EVENTS: [&str; 3] = ["TRANSACTION.SUCCESS", "REFUND.SUCCESS", "OTHER"];

static API_V3_KEY: LazyLock<ApiV3Key> = LazyLock::new(|| ApiV3Key::parse(KEY).unwrap());
static SEALING: LazyLock<LessSafeKey> =
    LazyLock::new(|| LessSafeKey::new(UnboundKey::new(&AES_256_GCM, KEY.as_bytes()).unwrap()));

// The first byte selects: a body verbatim, or an envelope around an encrypted plaintext.
fuzz_target!(|data: &[u8]| {
    let Some((choice, rest)) = data.split_first() else {
        return;
    };
    match EVENTS.get(usize::from(choice % 4)) {
        None => {
            let _ = Notification::open(&API_V3_KEY, rest);
        }
        Some(event) => open_sealed(event, rest),
    }
});

fn open_sealed(event: &str, text: &[u8]) {
    let mut sealed = text.to_vec();
    let nonce = Nonce::assume_unique_for_key(*NONCE);
    let aad = Aad::from(b"transaction");
    SEALING
        .seal_in_place_append_tag(nonce, aad, &mut sealed)
        .unwrap();
    let envelope = |sealed: &[u8]| {
        let resource: Value = json!({
            "algorithm": "AEAD_AES_256_GCM",
            "nonce": "k1J2h3G4f5D6",
            "associated_data": "transaction",
            "ciphertext": STANDARD.encode(sealed),
        });
        json!({"event_type": event, "resource": resource}).to_string()
    };
    if let Ok(opened) = Notification::open(&API_V3_KEY, envelope(&sealed).as_bytes()) {
        assert_eq!(opened.plaintext, text);
    }
    // A modified ciphertext never decrypts.
    let position = text.len() / 2;
    sealed[position] ^= 1;
    let modified = Notification::open(&API_V3_KEY, envelope(&sealed).as_bytes());
    assert_eq!(modified.err(), Some(OpenError::Decrypt));
}
