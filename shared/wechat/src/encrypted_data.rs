//! `encryptedData`: what WeChat's client encrypts under the player's session key for our server
//! (AES-128-CBC, PKCS#7), and the watermark that says for which app and when.
//!
//! It does not know who the player is, nor which keys to try: the caller does.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::cipher::{AES_128, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey};
use aws_lc_rs::iv::{FixedLength, IV_LEN_128_BIT};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;

use crate::client_data::Fields;
use crate::{AppId, DataError, SessionKey};

const BLOCK: usize = 16;

/// The ciphertext and its IV, in their form; whether a key opens them is not known yet. `Debug` shows
/// neither.
#[derive(Clone, PartialEq, Eq)]
pub struct EncryptedData {
    ciphertext: Vec<u8>,
    iv: [u8; IV_LEN_128_BIT],
}

/// Why something is no encrypted data, whatever the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEncryptedData {
    /// `encryptedData` is longer than [`EncryptedData::MAX_LEN`].
    #[error("must not be longer than {max} characters", max = EncryptedData::MAX_LEN)]
    TooLong,
    /// `encryptedData` is not the base64 of whole blocks.
    #[error("must be the base64 of 16, 32, 48 … bytes")]
    Data,
    /// `iv` is not the base64 of 16 bytes.
    #[error("must be the base64 of 16 bytes")]
    Iv,
}

/// What makes a watermark good.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// Our app.
    pub app_id: &'a AppId,
    /// When the data came in.
    pub now: Timestamp,
    /// How far the watermark's time may be from `now`, either way.
    pub window: Duration,
}

/// Data that a session key has opened, with the watermark that was expected.
#[derive(Clone)]
pub struct OpenedData {
    pub(crate) fields: Fields,
    /// When WeChat encrypted it.
    pub made_at: Timestamp,
}

impl EncryptedData {
    /// The longest `encryptedData` that is taken, in characters. Profiles have some 500.
    pub const MAX_LEN: usize = 16 * 1024;

    /// Takes `encryptedData` and `iv` as the client got them.
    ///
    /// # Errors
    /// When no key could ever open them. That tells nothing about our keys, so it may be told.
    pub fn parse(encrypted_data: &str, iv: &str) -> Result<Self, InvalidEncryptedData> {
        if encrypted_data.len() > Self::MAX_LEN {
            return Err(InvalidEncryptedData::TooLong);
        }
        let ciphertext = BASE64_STANDARD
            .decode(encrypted_data)
            .ok()
            .filter(|bytes| !bytes.is_empty() && bytes.len().is_multiple_of(BLOCK))
            .ok_or(InvalidEncryptedData::Data)?;
        let iv = BASE64_STANDARD
            .decode(iv)
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or(InvalidEncryptedData::Iv)?;
        Ok(Self { ciphertext, iv })
    }

    /// Decrypts, and checks the watermark.
    ///
    /// # Errors
    /// [`DataError::KeyDoesNotFit`] when this key does not open it, for whatever reason. With a key that
    /// does, [`DataError::NoWatermark`], [`DataError::OtherApp`] or [`DataError::Stale`].
    pub fn open(&self, key: &SessionKey, expected: Expected<'_>) -> Result<OpenedData, DataError> {
        let fields = self.decrypt(key).ok_or(DataError::KeyDoesNotFit)?;
        let watermark = fields.get("watermark").ok_or(DataError::NoWatermark)?;
        let app_id = watermark["appid"].as_str().ok_or(DataError::NoWatermark)?;
        let made_at = watermark["timestamp"]
            .as_i64()
            .and_then(|seconds| Timestamp::from_second(seconds).ok())
            .ok_or(DataError::NoWatermark)?;
        if app_id != expected.app_id.as_str() {
            return Err(DataError::OtherApp);
        }
        let away = expected.now.duration_since(made_at).unsigned_abs();
        if away > expected.window {
            return Err(DataError::Stale(away.as_secs()));
        }
        Ok(OpenedData { fields, made_at })
    }

    /// One way out for all that can be wrong.
    fn decrypt(&self, key: &SessionKey) -> Option<Fields> {
        let key = BASE64_STANDARD.decode(key.expose_secret()).ok()?;
        let key = UnboundCipherKey::new(&AES_128, &key).ok()?;
        let key = PaddedBlockDecryptingKey::cbc_pkcs7(key).ok()?;
        let mut text = self.ciphertext.clone();
        let iv = DecryptionContext::Iv128(FixedLength::from(&self.iv));
        Fields::parse(key.decrypt(&mut text, iv).ok()?)
    }
}

impl fmt::Debug for EncryptedData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EncryptedData({} bytes)", self.ciphertext.len())
    }
}

impl fmt::Debug for OpenedData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpenedData(of {})", self.made_at)
    }
}
