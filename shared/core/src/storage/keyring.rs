//! Encryption at rest: AES-256-GCM under the current key of a ring, which also opens what its previous
//! keys sealed. It keeps secrets (WeChat session keys) out of database dumps; it is neither a password
//! hash nor a signature.

use std::{fmt, str::FromStr};

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    digest, hmac,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use secrecy::{ExposeSecret, SecretSlice, SecretString};

/// Why a key could not be parsed, or a text not sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    /// A key is not 32 bytes in base64.
    #[error("must be the base64 of 32 bytes (such as `openssl rand -base64 32` prints)")]
    BadKey,
    /// The text was sealed with a key that is not on this ring.
    #[error("sealed with a key that is not on the ring")]
    UnknownKey,
    /// The text or its associated data is not what was sealed.
    #[error("the sealed text or its associated data was changed")]
    Tampered,
    /// The cryptographic library failed, for example for lack of random numbers.
    #[error("the cryptographic library failed")]
    Library,
}

/// A key of AES-256. Never printed.
#[derive(Clone)]
pub struct EncryptionKey(SecretSlice<u8>);

impl EncryptionKey {
    /// Uses the 32 bytes as they are.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes.to_vec().into())
    }

    /// Generates a random key.
    ///
    /// # Errors
    /// [`KeyringError::Library`] when the system's random number generator fails.
    pub fn generate() -> Result<Self, KeyringError> {
        let mut key = vec![0; 32];
        aws_lc_rs::rand::fill(&mut key).map_err(|_| KeyringError::Library)?;
        Ok(Self(key.into()))
    }

    /// Encodes the key as in the configuration.
    pub fn to_base64(&self) -> SecretString {
        STANDARD.encode(self.0.expose_secret()).into()
    }

    /// The name of the key: the first 8 hex digits of its SHA-256, which do not reveal it.
    pub fn id(&self) -> String {
        let hash = digest::digest(&digest::SHA256, self.0.expose_secret());
        hex::encode(&hash.as_ref()[..4])
    }
}

impl FromStr for EncryptionKey {
    type Err = KeyringError;

    fn from_str(text: &str) -> Result<Self, KeyringError> {
        let bytes = STANDARD
            .decode(text.trim())
            .map_err(|_| KeyringError::BadKey)?;
        if bytes.len() == 32 {
            Ok(Self(bytes.into()))
        } else {
            Err(KeyringError::BadKey)
        }
    }
}

impl fmt::Debug for EncryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EncryptionKey({})", self.id())
    }
}

/// The result of [`Keyring::seal`]; both parts are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Id of the key that opens it: 8 hex digits.
    pub key_id: String,
    /// Nonce (12 bytes), text of the plaintext's length, tag (16 bytes).
    pub ciphertext: Vec<u8>,
}

/// The result of [`Keyring::derive`]: 32 bytes of each key.
pub struct Derived {
    /// Of the current key.
    pub current: SecretSlice<u8>,
    /// Of the previous keys, which other processes may still use as their current one.
    pub previous: Vec<SecretSlice<u8>>,
}

/// The current key, which seals, and previous ones, which only open.
///
/// To rotate, make the new key current and the old one previous until no value is sealed with it.
/// Nonces are random, so one key should seal fewer than 2³² texts.
pub struct Keyring {
    current: RingKey,
    previous: Vec<RingKey>,
}

struct RingKey {
    id: String,
    key: RandomizedNonceKey,
    derivation: hmac::Key,
}

impl Keyring {
    /// Creates a ring.
    ///
    /// # Errors
    /// [`KeyringError::Library`] when a key could not be set up.
    pub fn new(current: &EncryptionKey, previous: &[EncryptionKey]) -> Result<Self, KeyringError> {
        Ok(Self {
            current: RingKey::new(current)?,
            previous: previous
                .iter()
                .map(RingKey::new)
                .collect::<Result<_, _>>()?,
        })
    }

    /// Encrypts under the current key. `aad` binds the text to its place (such as the row's id): it is not
    /// stored, and opening requires the same, so that a text cannot be moved elsewhere.
    ///
    /// # Errors
    /// [`KeyringError::Library`] when the system's random number generator fails.
    pub fn seal(&self, plaintext: &[u8], aad: &[u8]) -> Result<Sealed, KeyringError> {
        let mut body = plaintext.to_vec();
        let nonce = self
            .current
            .key
            .seal_in_place_append_tag(Aad::from(aad), &mut body)
            .map_err(|_| KeyringError::Library)?;
        let mut ciphertext = nonce.as_ref().to_vec();
        ciphertext.append(&mut body);
        Ok(Sealed {
            key_id: self.current.id.clone(),
            ciphertext,
        })
    }

    /// Decrypts the result of [`Keyring::seal`] with any key of the ring and the same `aad`.
    ///
    /// # Errors
    /// [`KeyringError::UnknownKey`] when no key has this id; [`KeyringError::Tampered`] when text,
    /// tag or `aad` differ from what was sealed.
    pub fn open(
        &self,
        key_id: &str,
        ciphertext: &[u8],
        aad: &[u8],
    ) -> Result<SecretSlice<u8>, KeyringError> {
        let ring_key = std::iter::once(&self.current)
            .chain(&self.previous)
            .find(|ring_key| ring_key.id == key_id)
            .ok_or(KeyringError::UnknownKey)?;
        let (nonce, body) = ciphertext
            .split_at_checked(NONCE_LEN)
            .ok_or(KeyringError::Tampered)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| KeyringError::Tampered)?;
        let mut body = body.to_vec();
        let length = ring_key
            .key
            .open_in_place(nonce, Aad::from(aad), &mut body)
            .map_err(|_| KeyringError::Tampered)?
            .len();
        body.truncate(length);
        Ok(body.into())
    }

    /// Derives 32 secret bytes from each key: the same ones for the same context in every process that has
    /// the key, and unpredictable without it.
    pub fn derive(&self, context: &[u8]) -> Derived {
        let of = |key: &RingKey| -> SecretSlice<u8> {
            hmac::sign(&key.derivation, context)
                .as_ref()
                .to_vec()
                .into()
        };
        Derived {
            current: of(&self.current),
            previous: self.previous.iter().map(of).collect(),
        }
    }

    /// Whether the key with this id is on the ring.
    pub fn holds(&self, key_id: &str) -> bool {
        std::iter::once(&self.current)
            .chain(&self.previous)
            .any(|ring_key| ring_key.id == key_id)
    }

    /// The id of the current key.
    pub fn current_key_id(&self) -> &str {
        &self.current.id
    }
}

impl RingKey {
    fn new(key: &EncryptionKey) -> Result<Self, KeyringError> {
        let id = key.id();
        let bytes = key.0.expose_secret();
        // A key of its own: encryption and derivation must not share one.
        let master = hmac::Key::new(hmac::HMAC_SHA256, bytes);
        let derivation = hmac::sign(&master, b"avalon-wx keyring derivation v1");
        Ok(Self {
            id,
            key: RandomizedNonceKey::new(&AES_256_GCM, bytes).map_err(|_| KeyringError::Library)?,
            derivation: hmac::Key::new(hmac::HMAC_SHA256, derivation.as_ref()),
        })
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids = self.previous.iter().map(|key| &key.id).collect::<Vec<_>>();
        f.debug_struct("Keyring")
            .field("current", &self.current.id)
            .field("previous", &ids)
            .finish()
    }
}

#[cfg(test)]
mod tests;
