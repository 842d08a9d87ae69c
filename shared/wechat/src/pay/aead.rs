//! AES-256-GCM with the APIv3 key, which encrypts callbacks and certificates (§7.3).

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;

use super::OpenError;

const ALGORITHM: &str = "AEAD_AES_256_GCM";

/// The APIv3 key of the merchant portal: 32 bytes, used verbatim. Redacted by `Debug`. During a key
/// change in the portal it holds both keys, since WeChat may still encrypt with either.
#[derive(Clone)]
pub struct ApiV3Key {
    key: [u8; Self::LEN],
    previous: Option<[u8; Self::LEN]>,
}

/// A key whose length is not 32 bytes. Keys are never padded or truncated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the APIv3 key must have exactly 32 bytes")]
pub struct InvalidApiV3Key;

impl ApiV3Key {
    const LEN: usize = 32;

    /// Parses the key as entered in the merchant portal.
    ///
    /// # Errors
    /// When it does not have 32 bytes.
    pub fn parse(key: &str) -> Result<Self, InvalidApiV3Key> {
        key.as_bytes()
            .try_into()
            .map(|key| Self {
                key,
                previous: None,
            })
            .map_err(|_| InvalidApiV3Key)
    }

    /// Adds the key that this one replaces, which is tried when decryption with this one fails.
    #[must_use]
    pub fn replacing(self, previous: &Self) -> Self {
        Self {
            previous: Some(previous.key),
            ..self
        }
    }
}

impl fmt::Debug for ApiV3Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiV3Key([REDACTED])")
    }
}

/// Encrypted data on the wire, where every field may be missing.
#[derive(Deserialize)]
pub(super) struct Resource {
    pub(super) original_type: Option<String>,
    algorithm: Option<String>,
    ciphertext: Option<String>,
    associated_data: Option<String>,
    nonce: Option<String>,
}

impl Resource {
    /// Decrypts the data. An absent `associated_data` counts as empty.
    pub(super) fn decrypt(&self, key: &ApiV3Key) -> Result<Vec<u8>, OpenError> {
        let field = |field: &'static str, value: &'_ Option<String>| {
            value.clone().ok_or(OpenError::MissingField(field))
        };
        if field("resource.algorithm", &self.algorithm)? != ALGORITHM {
            return Err(OpenError::Algorithm);
        }
        let nonce = field("resource.nonce", &self.nonce)?;
        let nonce: [u8; NONCE_LEN] = nonce
            .as_bytes()
            .try_into()
            .map_err(|_| OpenError::NonceLength)?;
        let sealed = BASE64_STANDARD
            .decode(field("resource.ciphertext", &self.ciphertext)?)
            .map_err(|_| OpenError::Base64)?;
        if sealed.len() < AES_256_GCM.tag_len() {
            return Err(OpenError::TooShort);
        }
        let aad = self.associated_data.as_deref().unwrap_or_default();
        match (open(&key.key, nonce, aad, sealed.clone()), &key.previous) {
            (Err(_), Some(previous)) => open(previous, nonce, aad, sealed),
            (opened, _) => opened,
        }
    }
}

fn open(
    key: &[u8; ApiV3Key::LEN],
    nonce: [u8; NONCE_LEN],
    aad: &str,
    mut sealed: Vec<u8>,
) -> Result<Vec<u8>, OpenError> {
    let key = UnboundKey::new(&AES_256_GCM, key).map_err(|_| OpenError::Decrypt)?;
    let nonce = Nonce::assume_unique_for_key(nonce);
    let length = LessSafeKey::new(key)
        .open_in_place(nonce, Aad::from(aad), &mut sealed)
        .map_err(|_| OpenError::Decrypt)?
        .len();
    sealed.truncate(length);
    Ok(sealed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn api_v3_key_has_32_bytes_and_is_redacted() {
        let key = "0aB1cD2eF3gH4iJ5kL6mN7oP8qR9sT0u";
        assert!(!format!("{:?}", ApiV3Key::parse(key).unwrap()).contains("0aB1"));
        for bad in [&key[..31], "", "0aB1cD2eF3gH4iJ5kL6mN7oP8qR9sT0u0"] {
            assert!(ApiV3Key::parse(bad).is_err(), "{bad}");
        }
    }
}
