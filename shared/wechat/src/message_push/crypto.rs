//! The encryption of messages: AES-256-CBC with the first 16 key bytes as IV, PKCS#7 with blocks of 32, over
//! 16 random bytes, the length of the message (big endian), the message and the app id.
//!
//! The callers verify `msg_signature` first, so a sender learns nothing from how decryption fails.

use std::fmt;

use aws_lc_rs::cipher::{
    AES_256, DecryptingKey, DecryptionContext, EncryptingKey, EncryptionContext, UnboundCipherKey,
};
use aws_lc_rs::iv::{FixedLength, IV_LEN_128_BIT};
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use base64::prelude::BASE64_STANDARD;

use crate::AppId;

const KEY_BYTES: usize = 32;
const KEY_CHARS: usize = 43;
/// Block size of the padding; that of the cipher is 16.
const PADDING_BLOCK: usize = 32;
const CIPHER_BLOCK: usize = 16;
const RANDOM_BYTES: usize = 16;
const LENGTH_BYTES: usize = 4;

/// 43 characters carry two bits more than 32 bytes, and WeChat does not care what they are.
const KEY_BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// The EncodingAESKey of the console. Redacted by `Debug`.
#[derive(Clone)]
pub struct EncodingAesKey([u8; KEY_BYTES]);

/// A text that is not an EncodingAESKey.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an EncodingAESKey has 43 letters and digits")]
pub struct InvalidEncodingAesKey;

/// Reason why an authentic message cannot be decrypted. Its names are log fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::AsRefStr, thiserror::Error)]
#[strum(serialize_all = "snake_case")]
pub enum DecryptError {
    /// Not base64.
    #[error("the encrypted message is not base64")]
    Base64,
    /// Empty, or not whole cipher blocks.
    #[error("the encrypted message is not whole blocks")]
    Blocks,
    /// The padding is wrong: modified, or encrypted with another key.
    #[error("the padding is wrong, so the message was encrypted with another key")]
    Padding,
    /// Too short, or its length points beyond the end.
    #[error("the length of the message is wrong")]
    Length,
    /// The app id at the end is not ours.
    #[error("the message is for another app")]
    OtherApp,
    /// The message is not UTF-8.
    #[error("the message is not UTF-8")]
    NotUtf8,
}

impl EncodingAesKey {
    /// Parses the key as entered in the console.
    ///
    /// # Errors
    /// When it does not have 43 letters and digits.
    pub fn parse(key: &str) -> Result<Self, InvalidEncodingAesKey> {
        if key.len() != KEY_CHARS || !key.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(InvalidEncodingAesKey);
        }
        let bytes = KEY_BASE64.decode(format!("{key}="));
        let bytes = bytes.map_err(|_| InvalidEncodingAesKey)?;
        let bytes = bytes.try_into().map_err(|_| InvalidEncodingAesKey)?;
        Ok(Self(bytes))
    }

    /// Decrypts a message for our app.
    ///
    /// # Errors
    /// When it was not encrypted with this key, or is for another app.
    pub(super) fn open(&self, encrypted: &str, app_id: &AppId) -> Result<String, DecryptError> {
        let mut data = BASE64_STANDARD
            .decode(encrypted)
            .map_err(|_| DecryptError::Base64)?;
        if data.is_empty() || !data.len().is_multiple_of(CIPHER_BLOCK) {
            return Err(DecryptError::Blocks);
        }
        let decrypted = UnboundCipherKey::new(&AES_256, &self.0)
            .and_then(DecryptingKey::cbc)
            .and_then(|key| {
                let context = DecryptionContext::Iv128(self.iv());
                Ok(key.decrypt(&mut data, context)?.len())
            });
        // Never happens for whole blocks.
        decrypted.map_err(|_| DecryptError::Blocks)?;
        let text = unpadded(&data).ok_or(DecryptError::Padding)?;
        let rest = text.get(RANDOM_BYTES..).ok_or(DecryptError::Length)?;
        let (length, rest) = rest
            .split_first_chunk::<LENGTH_BYTES>()
            .ok_or(DecryptError::Length)?;
        let (message, app) = usize::try_from(u32::from_be_bytes(*length))
            .ok()
            .and_then(|length| rest.split_at_checked(length))
            .ok_or(DecryptError::Length)?;
        if app != app_id.as_str().as_bytes() {
            return Err(DecryptError::OtherApp);
        }
        let message = std::str::from_utf8(message).map_err(|_| DecryptError::NotUtf8)?;
        Ok(message.to_owned())
    }

    /// Encrypts a message of our app, as an encrypted reply; `None` if it is longer than 4 GiB.
    pub(super) fn seal(
        &self,
        random: [u8; RANDOM_BYTES],
        message: &str,
        app_id: &AppId,
    ) -> Option<String> {
        let length = u32::try_from(message.len()).ok()?;
        let mut data = random.to_vec();
        data.extend_from_slice(&length.to_be_bytes());
        data.extend_from_slice(message.as_bytes());
        data.extend_from_slice(app_id.as_str().as_bytes());
        let padding = PADDING_BLOCK - data.len() % PADDING_BLOCK;
        data.resize(data.len() + padding, u8::try_from(padding).ok()?);
        let key = UnboundCipherKey::new(&AES_256, &self.0).ok()?;
        let key = EncryptingKey::cbc(key).ok()?;
        let context = EncryptionContext::Iv128(self.iv());
        key.less_safe_encrypt(&mut data, context).ok()?;
        Some(BASE64_STANDARD.encode(data))
    }

    fn iv(&self) -> FixedLength<IV_LEN_128_BIT> {
        let mut iv = [0; IV_LEN_128_BIT];
        iv.copy_from_slice(&self.0[..IV_LEN_128_BIT]);
        FixedLength::from(iv)
    }
}

/// Removes the padding: 1 to 32 bytes that all name their number.
fn unpadded(data: &[u8]) -> Option<&[u8]> {
    let padding = usize::from(*data.last()?);
    if !(1..=PADDING_BLOCK).contains(&padding) {
        return None;
    }
    let (text, end) = data.split_at_checked(data.len().checked_sub(padding)?)?;
    end.iter()
        .all(|byte| usize::from(*byte) == padding)
        .then_some(text)
}

impl fmt::Debug for EncodingAesKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EncodingAesKey([REDACTED])")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "Qm3xT7vJk2Lw9RzY4NcHs8Pf1DgUa5EoXbV6iKt0MyA";

    fn key() -> EncodingAesKey {
        EncodingAesKey::parse(KEY).unwrap()
    }

    #[test]
    fn keys_have_43_letters_and_digits_with_any_trailing_bits() {
        let trailing = format!("{}D", &KEY[..42]);
        assert_eq!(EncodingAesKey::parse(&trailing).unwrap().0, key().0);
        for bad in [
            "",
            &KEY[..42],
            &format!("{KEY}A"),
            &format!("{}/", &KEY[..42]),
        ] {
            assert!(EncodingAesKey::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(format!("{:?}", key()), "EncodingAesKey([REDACTED])");
    }

    proptest! {
        #[test]
        fn sealed_messages_open(message in ".{0,100}", random: [u8; 16]) {
            let app = AppId::new("wx0123456789abcdef");
            let sealed = key().seal(random, &message, &app).unwrap();
            prop_assert_eq!(key().open(&sealed, &app), Ok(message));
            let other = AppId::new("wxffffffffffffffff");
            prop_assert_eq!(key().open(&sealed, &other), Err(DecryptError::OtherApp));
        }

        #[test]
        fn arbitrary_ciphertexts_never_panic(data: Vec<u8>) {
            let app = AppId::new("wx0123456789abcdef");
            let _ = key().open(&BASE64_STANDARD.encode(data), &app);
        }
    }
}
