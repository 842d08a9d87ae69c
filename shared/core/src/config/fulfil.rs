//! `fulfil`: where the game server hears of goods that were paid or taken back.

use std::{fmt, str::FromStr, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use secrecy::{ExposeSecret, SecretSlice};
use serde::{Deserialize, Serialize, Serializer};
use url::Url;

use super::{Role, text};

/// `fulfil`: the webhook to the game server.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub struct FulfilConfig {
    /// Where it goes; unset: nowhere.
    #[serde(deserialize_with = "text::optional")]
    pub webhook_url: Option<WebhookUrl>,
    /// What it is signed with.
    #[serde(deserialize_with = "text::optional", serialize_with = "text::hidden")]
    pub webhook_secret: Option<WebhookSecret>,
    /// Whether it may go to private addresses. See [`FulfilConfig::allow_private_addresses`] for the
    /// default.
    pub allow_private_addresses: Option<bool>,
    /// How long one attempt may take.
    #[serde(with = "text::duration")]
    pub timeout: Duration,
}

impl Default for FulfilConfig {
    fn default() -> Self {
        Self {
            webhook_url: None,
            webhook_secret: None,
            allow_private_addresses: None,
            timeout: Duration::from_secs(10),
        }
    }
}

impl FulfilConfig {
    /// Whether the webhook may go to loopback and private addresses: as configured, else in `dev`
    /// only.
    pub fn allow_private_addresses(&self, role: Role) -> bool {
        self.allow_private_addresses.unwrap_or(role == Role::Dev)
    }
}

/// An `http://` or `https://` URL that is called as it is. Its query may hold a password: prints
/// without it.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookUrl(Url);

/// A text is no [`WebhookUrl`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be an http:// or https:// URL without credentials or fragment")]
pub struct WebhookUrlError;

impl WebhookUrl {
    /// The URL, query included.
    pub fn as_url(&self) -> &Url {
        &self.0
    }
}

impl FromStr for WebhookUrl {
    type Err = WebhookUrlError;

    fn from_str(text: &str) -> Result<Self, WebhookUrlError> {
        let url = Url::parse(text).map_err(|_| WebhookUrlError)?;
        let plain =
            url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
        if !matches!(url.scheme(), "http" | "https") || !plain {
            return Err(WebhookUrlError);
        }
        Ok(Self(url))
    }
}

impl fmt::Display for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut url = self.0.clone();
        if url.query().is_some() {
            url.set_query(Some("***"));
        }
        fmt::Display::fmt(&url, f)
    }
}

impl fmt::Debug for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WebhookUrl({self})")
    }
}

impl Serialize for WebhookUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The key that webhooks are signed with: `whsec_` and its base64 (Standard Webhooks), or any other
/// text, whose bytes are the key. Never printed.
#[derive(Clone)]
pub struct WebhookSecret(SecretSlice<u8>);

/// A text is no [`WebhookSecret`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WebhookSecretError {
    /// Nothing is there to sign with.
    #[error("must not be empty")]
    Empty,
    /// `whsec_` promises base64.
    #[error("must have base64 after whsec_")]
    Base64,
}

impl WebhookSecret {
    const PREFIX: &str = "whsec_";

    /// The bytes of the key, at least one.
    pub fn expose(&self) -> &[u8] {
        self.0.expose_secret()
    }
}

impl FromStr for WebhookSecret {
    type Err = WebhookSecretError;

    fn from_str(text: &str) -> Result<Self, WebhookSecretError> {
        let bytes = match text.strip_prefix(Self::PREFIX) {
            Some(base64) => STANDARD
                .decode(base64)
                .map_err(|_| WebhookSecretError::Base64)?,
            None => text.as_bytes().to_vec(),
        };
        if bytes.is_empty() {
            return Err(WebhookSecretError::Empty);
        }
        Ok(Self(bytes.into()))
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(hidden)")
    }
}
