//! Encrypts data under a session key as WeChat's client does. No test needs more than the fixed IV.

use std::time::Duration;

use avalon_wechat::{AppId, DataError, EncryptedData, Expected, OpenedData, SessionKey};
use aws_lc_rs::cipher::{AES_128, EncryptionContext, PaddedBlockEncryptingKey, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use serde_json::Value;

pub(crate) const KEY: [u8; 16] = *b"a session key 00";
pub(crate) const IV: [u8; 16] = *b"a fresh iv each ";
pub(crate) const APP: &str = "wx0123456789abcdef";
/// Time at which the data of the tests are received.
pub(crate) const NOW: i64 = 1_790_000_000;

pub(crate) fn session_key(bytes: &[u8]) -> SessionKey {
    SessionKey::new(BASE64_STANDARD.encode(bytes).into())
}

pub(crate) fn encrypt(plaintext: &[u8], key: [u8; 16], iv: [u8; 16]) -> Vec<u8> {
    let key = UnboundCipherKey::new(&AES_128, &key).unwrap();
    let key = PaddedBlockEncryptingKey::cbc_pkcs7(key).unwrap();
    let mut text = plaintext.to_vec();
    let iv = EncryptionContext::Iv128(FixedLength::from(&iv));
    key.less_safe_encrypt(&mut text, iv).unwrap();
    text
}

pub(crate) fn data(ciphertext: &[u8]) -> EncryptedData {
    let encode = |bytes: &[u8]| BASE64_STANDARD.encode(bytes);
    EncryptedData::parse(&encode(ciphertext), &encode(&IV)).unwrap()
}

/// Decrypts with the right key, expecting our app and a window of five minutes.
pub(crate) fn open(data: &EncryptedData) -> Result<OpenedData, DataError> {
    open_with(data, &session_key(&KEY))
}

pub(crate) fn open_with(data: &EncryptedData, key: &SessionKey) -> Result<OpenedData, DataError> {
    let app_id = AppId::new(APP);
    data.open(
        key,
        Expected {
            app_id: &app_id,
            now: Timestamp::from_second(NOW).unwrap(),
            window: Duration::from_secs(300),
        },
    )
}

pub(crate) fn open_json(json: &Value) -> Result<OpenedData, DataError> {
    open(&data(&encrypt(json.to_string().as_bytes(), KEY, IV)))
}
