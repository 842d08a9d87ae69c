//! Encrypted data of a client: arbitrary ciphertexts, and arbitrary plaintexts once decrypted.
#![no_main]

use std::sync::LazyLock;
use std::time::Duration;

use avalon_wechat::{AppId, EncryptedData, Expected, SessionKey};
use aws_lc_rs::cipher::{AES_128, EncryptionContext, PaddedBlockEncryptingKey, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use secrecy::SecretString;

/// TEST KEY.
const KEY: [u8; 16] = *b"0123456789abcdef";
const IV: [u8; 16] = *b"fedcba9876543210";
const APP: &str = "wx0123456789abcdef";

static APP_ID: LazyLock<AppId> = LazyLock::new(|| AppId::new(APP));

// The first byte selects: two lines verbatim, or a plaintext that is encrypted first.
fuzz_target!(|data: &[u8]| {
    let Some((choice, rest)) = data.split_first() else {
        return;
    };
    if choice % 2 == 0 {
        let text = String::from_utf8_lossy(rest);
        let (encrypted, iv) = text.split_once('\n').unwrap_or((&text, ""));
        read(encrypted, iv);
    } else {
        let mut text = rest.to_vec();
        let key = UnboundCipherKey::new(&AES_128, &KEY).unwrap();
        let key = PaddedBlockEncryptingKey::cbc_pkcs7(key).unwrap();
        let iv = EncryptionContext::Iv128(FixedLength::from(&IV));
        key.less_safe_encrypt(&mut text, iv).unwrap();
        read(&STANDARD.encode(text), &STANDARD.encode(IV));
    }
});

fn read(encrypted: &str, iv: &str) {
    let Ok(data) = EncryptedData::parse(encrypted, iv) else {
        return;
    };
    let key = SessionKey::new(SecretString::from(STANDARD.encode(KEY)));
    let now = Timestamp::from_second(1_795_480_952).unwrap();
    let window = Duration::from_secs(600);
    let expected = Expected {
        app_id: &APP_ID,
        now,
        window,
    };
    if let Ok(opened) = data.open(&key, expected) {
        let skew = now.duration_since(opened.encrypted_at).unsigned_abs();
        assert!(skew <= window, "a stale watermark was accepted");
        let _ = opened.profile();
        let _ = opened.group_entry();
    }
}
