//! `auth`: sessions and tokens.

use std::{fmt, num::NonZeroU32, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize, Serializer};

use super::text;
use crate::accounts::tokens::{SigningKey, VerifyingKey};

/// `auth`: sessions and tokens.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub struct AuthConfig {
    /// How long a token is good.
    #[serde(with = "text::duration")]
    pub token_ttl: Duration,
    /// How long a session lives without being refreshed.
    #[serde(with = "text::duration")]
    pub refresh_ttl: Duration,
    /// On how many devices a player may be signed in.
    #[serde(deserialize_with = "text::parsed")]
    pub device_policy: DevicePolicy,
    /// Whether players' requests must be signed with their session's key.
    pub signatures: SignaturePolicy,
    /// Signs tokens: Ed25519 private key, PKCS#8 PEM.
    #[serde(deserialize_with = "text::optional", serialize_with = "text::hidden")]
    pub signing_key: Option<SigningKey>,
    /// Keys that signed tokens before, private or public; their tokens are still good.
    #[serde(deserialize_with = "text::list", serialize_with = "text::all_hidden")]
    pub previous_signing_keys: Vec<VerifyingKey>,
    /// The `iss` of our tokens; others are refused.
    pub issuer: String,
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self {
            token_ttl: Duration::from_secs(2 * 60 * 60),
            refresh_ttl: Duration::from_secs(30 * 24 * 60 * 60),
            device_policy: DevicePolicy::Single,
            signatures: SignaturePolicy::Optional,
            signing_key: None,
            previous_signing_keys: Vec::new(),
            issuer: "avalon-wx".to_owned(),
        }
    }
}

/// On how many devices a player may be signed in; a sign-in beyond that ends the oldest session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DevicePolicy {
    /// `single`: one.
    Single,
    /// `per_device_type`: one of each type.
    PerDeviceType,
    /// `multi:N`: N.
    Multi(NonZeroU32),
}

/// A text is no [`DevicePolicy`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be single, per_device_type or multi:N with N from 1 to 32")]
pub struct DevicePolicyError;

impl DevicePolicy {
    /// On how many devices a player may be signed in at most.
    pub const MOST: u32 = 32;
}

impl FromStr for DevicePolicy {
    type Err = DevicePolicyError;

    fn from_str(text: &str) -> Result<Self, DevicePolicyError> {
        match text {
            "single" => Ok(Self::Single),
            "per_device_type" => Ok(Self::PerDeviceType),
            _ => {
                let number = text
                    .strip_prefix("multi:")
                    .and_then(|number| number.parse().ok());
                let bounded = number.filter(|number: &NonZeroU32| number.get() <= Self::MOST);
                bounded.map(Self::Multi).ok_or(DevicePolicyError)
            }
        }
    }
}

impl fmt::Display for DevicePolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Single => f.write_str("single"),
            Self::PerDeviceType => f.write_str("per_device_type"),
            Self::Multi(number) => write!(f, "multi:{number}"),
        }
    }
}

impl Serialize for DevicePolicy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Whether players' requests must carry a signature of their session's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SignaturePolicy {
    /// Signatures are not looked at.
    Off,
    /// A signature that is there must be right.
    Optional,
    /// Every request that needs a token needs a signature.
    Required,
}
