//! Settings of accounts: `auth` (sessions and tokens) and `profile` (players' profiles).

use std::{fmt, num::NonZeroU32, str::FromStr, time::Duration};

use avalon_config::{Violation, rule, text};
use serde::{Deserialize, Serialize, Serializer};
use url::Host;

use crate::accounts::sessions::SessionRules;
use crate::accounts::tokens::{SigningKey, VerifyingKey};

/// `auth`: sessions and tokens.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub struct AuthConfig {
    /// Lifetime of an access token.
    #[serde(with = "text::duration")]
    pub token_ttl: Duration,
    /// Lifetime of a session since its last refresh.
    #[serde(with = "text::duration")]
    pub refresh_ttl: Duration,
    /// Lifetime of a session since its sign-in, however often it is refreshed.
    #[serde(with = "text::duration")]
    pub max_session_age: Duration,
    /// Time during which a refresh token that was used is answered with the same successor.
    #[serde(with = "text::duration")]
    pub refresh_grace: Duration,
    /// Time after a sign-in or refresh during which responses renew an expiring token.
    #[serde(with = "text::duration")]
    pub renew_for: Duration,
    /// Number of devices on which a player may be signed in.
    #[serde(deserialize_with = "text::parsed")]
    pub device_policy: DevicePolicy,
    /// Whether players' requests must be signed with their session's key.
    pub signatures: SignaturePolicy,
    /// Signs tokens: Ed25519 private key, PKCS#8 PEM.
    #[serde(deserialize_with = "text::optional", serialize_with = "text::hidden")]
    pub signing_key: Option<SigningKey>,
    /// Earlier signing keys, private or public, whose tokens are still accepted.
    #[serde(deserialize_with = "text::list", serialize_with = "text::all_hidden")]
    pub previous_signing_keys: Vec<VerifyingKey>,
    /// The `iss` of our tokens; tokens with another are rejected.
    pub issuer: String,
    /// The `aud` of our tokens; tokens with another are rejected. Empty: none, and any is accepted.
    pub audience: String,
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self {
            token_ttl: Duration::from_secs(2 * 60 * 60),
            refresh_ttl: Duration::from_secs(30 * 24 * 60 * 60),
            max_session_age: Duration::from_secs(90 * 24 * 60 * 60),
            refresh_grace: Duration::from_secs(10),
            renew_for: Duration::from_secs(24 * 60 * 60),
            device_policy: DevicePolicy::Single,
            signatures: SignaturePolicy::Optional,
            signing_key: None,
            previous_signing_keys: Vec::new(),
            issuer: "avalon-wx".to_owned(),
            audience: "avalon".to_owned(),
        }
    }
}

impl AuthConfig {
    /// Checks the section's own rules.
    ///
    /// # Errors
    /// The first [`Violation`].
    pub fn check(&self) -> Result<(), Violation> {
        rule(
            // Tokens count in whole seconds.
            self.token_ttl >= Duration::from_secs(1),
            "auth.token_ttl",
            "must be at least 1s",
        )?;
        rule(
            self.refresh_ttl >= self.token_ttl,
            "auth.refresh_ttl",
            "must not be shorter than auth.token_ttl",
        )?;
        rule(
            self.max_session_age >= self.token_ttl,
            "auth.max_session_age",
            "must not be shorter than auth.token_ttl",
        )?;
        rule(
            self.refresh_grace <= Duration::from_secs(60),
            "auth.refresh_grace",
            "must be at most 60s",
        )?;
        rule(!self.issuer.is_empty(), "auth.issuer", "must not be empty")
    }

    /// The `aud` of tokens, if they have one.
    pub fn audience(&self) -> Option<&str> {
        Some(self.audience.as_str()).filter(|audience| !audience.is_empty())
    }

    /// The rules of sessions.
    pub fn session_rules(&self) -> SessionRules {
        SessionRules {
            policy: self.device_policy,
            ttl: self.refresh_ttl,
            max_age: self.max_session_age,
            refresh_grace: self.refresh_grace,
        }
    }
}

/// Number of devices on which a player may be signed in; a further sign-in ends the oldest session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DevicePolicy {
    /// `single`: one device.
    Single,
    /// `per_device_type`: one of each type.
    PerDeviceType,
    /// `multi:N`: at most N.
    Multi(NonZeroU32),
}

/// The text is not a valid [`DevicePolicy`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be single, per_device_type or multi:N with N from 1 to 32")]
pub struct DevicePolicyError;

impl DevicePolicy {
    /// Upper bound of `multi:N`.
    pub const MAX_DEVICES: u32 = 32;
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
                let bounded =
                    number.filter(|number: &NonZeroU32| number.get() <= Self::MAX_DEVICES);
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
    /// Signatures are ignored.
    Off,
    /// A request may omit its signature; an invalid one is rejected.
    Optional,
    /// Every request that needs a token also needs a signature.
    Required,
}

/// `profile`: players' profiles.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub struct ProfileConfig {
    /// Time for which a session key still decrypts data after WeChat replaced it.
    #[serde(with = "text::duration")]
    pub session_key_grace: Duration,
    /// Maximum deviation of the time of encrypted data from ours, either way.
    #[serde(with = "text::duration")]
    pub watermark_window: Duration,
    /// Hosts of acceptable pictures, including subdomains; empty: any.
    #[serde(deserialize_with = "text::list")]
    pub avatar_hosts: Vec<HostName>,
    /// Whether nicknames go through WeChat's content check.
    pub check_text: CheckText,
}

impl Default for ProfileConfig {
    fn default() -> Self {
        Self {
            session_key_grace: Duration::from_secs(5 * 60),
            watermark_window: Duration::from_secs(5 * 60),
            avatar_hosts: Vec::new(),
            check_text: CheckText::Off,
        }
    }
}

impl ProfileConfig {
    /// Checks the section's own rules.
    ///
    /// # Errors
    /// The first [`Violation`].
    pub fn check(&self) -> Result<(), Violation> {
        rule(
            self.watermark_window > Duration::ZERO,
            "profile.watermark_window",
            "must be longer than 0s",
        )
    }
}

/// Use of WeChat's content check.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckText {
    /// Not called.
    #[default]
    Off,
    /// Verdicts are logged and counted.
    Observe,
    /// In addition, a nickname found risky is not shown.
    Enforce,
}

/// The name of a host, in lower case: no scheme, port or path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostName(String);

/// The text is not a valid [`HostName`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be the name of a host such as qlogo.cn")]
pub struct HostNameError;

impl HostName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HostName {
    type Err = HostNameError;

    fn from_str(text: &str) -> Result<Self, HostNameError> {
        match Host::parse(text) {
            Ok(Host::Domain(name)) if !name.starts_with('.') => Ok(Self(name)),
            _ => Err(HostNameError),
        }
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for HostName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
