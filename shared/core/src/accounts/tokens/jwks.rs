//! The JSON Web Key Set that `/.well-known/jwks.json` serves. Public halves only.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::keys::VerifyingKey;

/// The keys that verify our tokens: the current one first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Jwks {
    /// One entry per key.
    pub keys: Vec<Jwk>,
}

/// An Ed25519 public key (RFC 8037).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Jwk {
    /// Kind of key: always `OKP`.
    #[schema(example = "OKP")]
    pub kty: String,
    /// Curve: always `Ed25519`.
    #[schema(example = "Ed25519")]
    pub crv: String,
    /// The public key, 32 bytes in base64url.
    pub x: String,
    /// The key's name in the header of a token: its RFC 7638 thumbprint.
    pub kid: String,
    /// Purpose: always `sig`.
    #[serde(rename = "use")]
    #[schema(example = "sig")]
    pub key_use: String,
    /// Algorithm: always `EdDSA`.
    #[schema(example = "EdDSA")]
    pub alg: String,
}

impl Jwks {
    pub(super) fn new<'a>(keys: impl Iterator<Item = &'a VerifyingKey>) -> Self {
        Self {
            keys: keys.map(Jwk::new).collect(),
        }
    }
}

impl Jwk {
    fn new(key: &VerifyingKey) -> Self {
        Self {
            kty: "OKP".to_owned(),
            crv: "Ed25519".to_owned(),
            x: key.x(),
            kid: key.id().to_owned(),
            key_use: "sig".to_owned(),
            alg: "EdDSA".to_owned(),
        }
    }
}
