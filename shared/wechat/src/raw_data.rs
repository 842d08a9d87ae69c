//! `rawData` and its `signature`: a plain-text profile that WeChat's client signs with the player's
//! session key. Without a watermark, it may have been signed at any time since the key was issued.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{self, SHA1_FOR_LEGACY_USE_ONLY, SHA1_OUTPUT_LEN};

use crate::client_data::Fields;
use crate::{DataError, SessionKey, UserProfile};

/// A text and its signature, not verified yet. Redacted by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct RawData {
    text: String,
    signature: [u8; SHA1_OUTPUT_LEN],
}

/// Reason why input cannot be raw data, whatever the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRawData {
    /// `rawData` is longer than [`RawData::MAX_LEN`].
    #[error("must not be longer than {max} bytes", max = RawData::MAX_LEN)]
    TooLong,
    /// `signature` is not a SHA-1 digest in hex.
    #[error("must be 40 hex digits")]
    Signature,
}

impl RawData {
    /// Maximum length of `rawData` in bytes. Profiles have about 300.
    pub const MAX_LEN: usize = 8 * 1024;

    /// Parses `rawData` and `signature` as the client received them.
    ///
    /// # Errors
    /// When the signature is malformed or the text is too long.
    pub fn parse(raw_data: &str, signature: &str) -> Result<Self, InvalidRawData> {
        if raw_data.len() > Self::MAX_LEN {
            return Err(InvalidRawData::TooLong);
        }
        let mut bytes = [0; SHA1_OUTPUT_LEN];
        hex::decode_to_slice(signature, &mut bytes).map_err(|_| InvalidRawData::Signature)?;
        Ok(Self {
            text: raw_data.to_owned(),
            signature: bytes,
        })
    }

    /// Verifies the signature, `sha1(rawData ‖ session_key)` with the key's base64 text, and reads
    /// the profile.
    ///
    /// # Errors
    /// [`DataError::KeyMismatch`] when the signature was not created with this key,
    /// [`DataError::Field`] when it was but the text is not an object.
    pub fn open(&self, key: &SessionKey) -> Result<UserProfile, DataError> {
        let mut sha1 = digest::Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
        sha1.update(self.text.as_bytes());
        sha1.update(key.expose_secret().as_bytes());
        verify_slices_are_equal(sha1.finish().as_ref(), &self.signature)
            .map_err(|_| DataError::KeyMismatch)?;
        let fields = Fields::parse(self.text.as_bytes()).ok_or(DataError::Field("rawData"))?;
        Ok(UserProfile::read(&fields))
    }
}

impl fmt::Debug for RawData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RawData({} bytes)", self.text.len())
    }
}
