//! Ed25519 keys: PEM in the configuration, and named in tokens by the RFC 7638 thumbprint of the public
//! half.

use std::{fmt, str::FromStr};

use aws_lc_rs::{
    digest,
    signature::{Ed25519KeyPair, KeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{DecodingKey, EncodingKey};
use pem::{EncodeConfig, LineEnding, Pem};
use secrecy::SecretString;

/// The DER of an Ed25519 SubjectPublicKeyInfo up to the 32 bytes of the key, fixed by RFC 8410.
const SPKI_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// Why a key could not be parsed or generated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A private key was needed.
    #[error("must be an Ed25519 private key, PKCS#8 PEM (`openssl genpkey -algorithm ed25519`)")]
    NotPrivate,
    /// A private or public key was needed.
    #[error("must be an Ed25519 public or private key in PEM")]
    NotAKey,
    /// The system's random number generator failed.
    #[error("the key could not be generated")]
    Library,
}

/// A private key that signs tokens. Never printed.
#[derive(Clone)]
pub struct SigningKey {
    key: EncodingKey,
    public: VerifyingKey,
}

/// A public key that verifies tokens.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifyingKey {
    bytes: [u8; 32],
    id: String,
}

impl SigningKey {
    /// Generates a key and returns it as PKCS#8 PEM, which OpenSSL reads too.
    ///
    /// # Errors
    /// [`KeyError::Library`] when the system's random number generator fails.
    pub fn generate_pem() -> Result<SecretString, KeyError> {
        let pair = Ed25519KeyPair::generate().map_err(|_| KeyError::Library)?;
        let der = pair.to_pkcs8v1().map_err(|_| KeyError::Library)?;
        let pem = Pem::new("PRIVATE KEY", der.as_ref());
        Ok(pem::encode_config(&pem, EncodeConfig::new().set_line_ending(LineEnding::LF)).into())
    }

    /// The public half.
    pub fn verifying_key(&self) -> &VerifyingKey {
        &self.public
    }

    /// The key's name in tokens (`kid`).
    pub fn id(&self) -> &str {
        self.public.id()
    }

    pub(super) fn encoding_key(&self) -> EncodingKey {
        self.key.clone()
    }
}

impl FromStr for SigningKey {
    type Err = KeyError;

    /// Parses PKCS#8 PEM, version 1 (as OpenSSL writes it) or 2 (with the public key).
    fn from_str(text: &str) -> Result<Self, KeyError> {
        let pem = pem::parse(text).map_err(|_| KeyError::NotPrivate)?;
        if pem.tag() != "PRIVATE KEY" {
            return Err(KeyError::NotPrivate);
        }
        let pair = Ed25519KeyPair::from_pkcs8(pem.contents()).map_err(|_| KeyError::NotPrivate)?;
        let public = pair
            .public_key()
            .as_ref()
            .try_into()
            .map_err(|_| KeyError::NotPrivate)?;
        Ok(Self {
            key: EncodingKey::from_ed_der(pem.contents()),
            public: VerifyingKey::from_bytes(public),
        })
    }
}

impl VerifyingKey {
    fn from_bytes(bytes: [u8; 32]) -> Self {
        // RFC 7638: the required members in alphabetical order, without white space.
        let x = URL_SAFE_NO_PAD.encode(bytes);
        let jwk = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
        let thumbprint = digest::digest(&digest::SHA256, jwk.as_bytes());
        Self {
            bytes,
            id: URL_SAFE_NO_PAD.encode(thumbprint),
        }
    }

    /// The key's name in tokens (`kid`): its RFC 7638 thumbprint (SHA-256, base64url).
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The 32 bytes in base64url, a JWK's `x`.
    pub fn x(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.bytes)
    }

    pub(super) fn decoding_key(&self) -> DecodingKey {
        DecodingKey::from_ed_der(&self.bytes)
    }
}

impl FromStr for VerifyingKey {
    type Err = KeyError;

    /// Parses a public key (SubjectPublicKeyInfo PEM), or a private one for its public half.
    fn from_str(text: &str) -> Result<Self, KeyError> {
        let pem = pem::parse(text).map_err(|_| KeyError::NotAKey)?;
        match pem.tag() {
            "PUBLIC KEY" => pem
                .contents()
                .strip_prefix(&SPKI_PREFIX)
                .and_then(|key| key.try_into().ok())
                .map(Self::from_bytes)
                .ok_or(KeyError::NotAKey),
            "PRIVATE KEY" => text
                .parse::<SigningKey>()
                .map(|key| key.public)
                .map_err(|_| KeyError::NotAKey),
            _ => Err(KeyError::NotAKey),
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.id())
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({})", self.id)
    }
}
