//! `encryptedData`: data that WeChat's client encrypts for our server under the player's session key
//! (AES-128-CBC, PKCS#7), with a watermark that names the app and the time.
//!
//! Selecting the player and the keys to try is up to the caller.

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

/// A well-formed ciphertext and IV, not decrypted yet. `Debug` shows neither.
#[derive(Clone, PartialEq, Eq)]
pub struct EncryptedData {
    ciphertext: Vec<u8>,
    iv: [u8; IV_LEN_128_BIT],
}

/// Reason why input cannot be encrypted data, whatever the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEncryptedData {
    /// `encryptedData` is longer than [`EncryptedData::MAX_LEN`].
    #[error("must not be longer than {max} characters", max = EncryptedData::MAX_LEN)]
    TooLong,
    /// `encryptedData` is not base64 of whole blocks.
    #[error("must be base64 of a positive multiple of 16 bytes")]
    Data,
    /// `iv` is not base64 of 16 bytes.
    #[error("must be base64 of 16 bytes")]
    Iv,
}

/// Conditions that a watermark must satisfy.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The app that the data must belong to.
    pub app_id: &'a AppId,
    /// Time at which the data were received.
    pub now: Timestamp,
    /// Maximum distance of the watermark's time from `now`, in either direction.
    pub window: Duration,
}

/// Decrypted data whose watermark was verified.
#[derive(Clone)]
pub struct OpenedData {
    pub(crate) fields: Fields,
    /// Time at which WeChat encrypted the data.
    pub encrypted_at: Timestamp,
}

impl EncryptedData {
    /// Maximum length of `encryptedData` in characters. Profiles have about 500.
    pub const MAX_LEN: usize = 16 * 1024;

    /// Parses `encryptedData` and `iv` as the client received them.
    ///
    /// # Errors
    /// When no key could ever decrypt them. This reveals nothing about our keys, so the client may
    /// see it.
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

    /// Decrypts the data and checks the watermark.
    ///
    /// # Errors
    /// [`DataError::KeyMismatch`] when decryption fails for any reason; otherwise
    /// [`DataError::MissingWatermark`], [`DataError::AppMismatch`] or [`DataError::Stale`].
    pub fn open(&self, key: &SessionKey, expected: Expected<'_>) -> Result<OpenedData, DataError> {
        let fields = self.decrypt(key).ok_or(DataError::KeyMismatch)?;
        let watermark = fields.get("watermark").ok_or(DataError::MissingWatermark)?;
        let app_id = watermark["appid"]
            .as_str()
            .ok_or(DataError::MissingWatermark)?;
        let encrypted_at = watermark["timestamp"]
            .as_i64()
            .and_then(|seconds| Timestamp::from_second(seconds).ok())
            .ok_or(DataError::MissingWatermark)?;
        if app_id != expected.app_id.as_str() {
            return Err(DataError::AppMismatch);
        }
        let skew = expected.now.duration_since(encrypted_at).unsigned_abs();
        if skew > expected.window {
            return Err(DataError::Stale(skew.as_secs()));
        }
        Ok(OpenedData {
            fields,
            encrypted_at,
        })
    }

    /// Every failure is `None`, so that callers cannot distinguish them (padding oracle).
    fn decrypt(&self, key: &SessionKey) -> Option<Fields> {
        let key = BASE64_STANDARD.decode(key.expose_secret()).ok()?;
        let key = UnboundCipherKey::new(&AES_128, &key).ok()?;
        let key = PaddedBlockDecryptingKey::cbc_pkcs7(key).ok()?;
        let mut text = self.ciphertext.clone();
        let iv = DecryptionContext::Iv128(FixedLength::from(&self.iv));
        let fields = Fields::parse(key.decrypt(&mut text, iv).ok()?)?;
        // With a wrong key, lenient reading could find an object in noise, but no watermark.
        Some(fields).filter(|fields| fields.is_strict() || fields.get("watermark").is_some())
    }
}

impl fmt::Debug for EncryptedData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EncryptedData({} bytes)", self.ciphertext.len())
    }
}

impl fmt::Debug for OpenedData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpenedData({})", self.encrypted_at)
    }
}
