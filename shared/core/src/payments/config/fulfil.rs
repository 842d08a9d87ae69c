//! `fulfil`: the webhook that notifies the game server of paid and revoked items.

use std::{fmt, str::FromStr, time::Duration};

use avalon_config::{Mode, Violation, rule, text};
use base64::{Engine, engine::general_purpose::STANDARD};
use secrecy::{ExposeSecret, SecretSlice};
use serde::{Deserialize, Serialize, Serializer};
use url::Url;

/// `fulfil`: the webhook to the game server.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub struct FulfilConfig {
    /// URL of the webhook; unset: none is sent.
    #[serde(deserialize_with = "text::optional")]
    pub webhook_url: Option<WebhookUrl>,
    /// Key of the webhook's signature.
    #[serde(deserialize_with = "text::optional", serialize_with = "text::hidden")]
    pub webhook_secret: Option<WebhookSecret>,
    /// Whether the URL may resolve to private addresses. See
    /// [`FulfilConfig::allow_private_addresses`] for the default.
    pub allow_private_addresses: Option<bool>,
    /// Timeout of one attempt.
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
    pub fn allow_private_addresses(&self, mode: impl Into<Mode>) -> bool {
        let default = mode.into() == Mode::Development;
        self.allow_private_addresses.unwrap_or(default)
    }

    /// Checks the section's own rules.
    ///
    /// # Errors
    /// The first [`Violation`].
    pub fn check(&self) -> Result<(), Violation> {
        rule(
            self.timeout > Duration::ZERO,
            "fulfil.timeout",
            "must be longer than 0s",
        )
    }

    /// Checks what a process that sends webhooks requires.
    ///
    /// # Errors
    /// The first [`Violation`].
    pub fn check_sender(&self) -> Result<(), Violation> {
        rule(
            self.webhook_url.is_none() || self.webhook_secret.is_some(),
            "fulfil.webhook_secret",
            "required beside fulfil.webhook_url (whsec_ and base64, or any text)",
        )
    }
}

/// An `http://` or `https://` URL that is called verbatim. Its query may hold a password, so it is
/// printed without it.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookUrl(Url);

/// The text is not a valid [`WebhookUrl`].
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

/// The signing key of webhooks: `whsec_` and its base64 (Standard Webhooks), or any other text, whose
/// bytes are the key. Never printed.
#[derive(Clone)]
pub struct WebhookSecret(SecretSlice<u8>);

/// The text is not a valid [`WebhookSecret`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WebhookSecretError {
    /// The key could be guessed.
    #[error("must have at least 16 characters, or bytes after whsec_")]
    Short,
    /// `whsec_` is not followed by base64.
    #[error("must have base64 after whsec_")]
    Base64,
}

impl WebhookSecret {
    const PREFIX: &str = "whsec_";
    const MIN_LENGTH: usize = 16;

    /// The bytes of the key.
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
        // Characters of a text: one of a script other than Latin has several bytes, but few choices.
        let length = match text.starts_with(Self::PREFIX) {
            true => bytes.len(),
            false => text.chars().count(),
        };
        if length < Self::MIN_LENGTH {
            return Err(WebhookSecretError::Short);
        }
        Ok(Self(bytes.into()))
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(hidden)")
    }
}
