//! The access token of the platform and where it comes from: the port that a fleet fills in, so that
//! all its processes use one token. Keeping and sharing it is not done here.

use std::fmt;

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};

use crate::{ErrorClass, WechatError};

/// WeChat's `access_token`: whoever has it can call as our app for two hours. `Debug` does not show it.
#[derive(Clone)]
pub struct AccessToken(SecretString);

impl AccessToken {
    /// Wraps a token that came from WeChat before, for example out of sealed storage.
    pub fn new(token: SecretString) -> Self {
        Self(token)
    }

    /// The token itself. Must not leave the server or enter a log.
    pub fn expose_secret(&self) -> &str {
        self.0.expose_secret()
    }
}

/// Tokens are compared with our own, never with what a stranger sends.
impl PartialEq for AccessToken {
    fn eq(&self, other: &Self) -> bool {
        self.expose_secret() == other.expose_secret()
    }
}

impl Eq for AccessToken {}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessToken([REDACTED])")
    }
}

/// Where calls take the access token from.
#[async_trait]
pub trait AccessTokens: Send + Sync + fmt::Debug {
    /// The token to call with now.
    ///
    /// # Errors
    /// When there is none and none can be had.
    async fn current(&self) -> Result<AccessToken, AccessTokenError>;

    /// Hears that WeChat refused this token. The next [`Self::current`] gives another one if one can be
    /// had; when the token was replaced already, nothing happens.
    ///
    /// # Errors
    /// When that could not be noted.
    async fn refused(&self, token: &AccessToken) -> Result<(), AccessTokenError>;
}

/// Why there is no access token.
#[derive(Debug, thiserror::Error)]
pub enum AccessTokenError {
    /// WeChat gave none.
    #[error("WeChat gave no access token")]
    Fetch(#[source] Box<WechatError>),
    /// The last fetch failed a moment ago, and the next one is not due yet.
    #[error("the last fetch of an access token failed a moment ago ({class})")]
    Resting {
        /// What the failure asked for.
        class: ErrorClass,
    },
    /// Another process is fetching one and was not done in time.
    #[error("the access token that another process fetches did not come in time")]
    Late,
    /// What keeps the token failed.
    #[error("the store of the access token failed")]
    Store(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl AccessTokenError {
    /// What to do about it.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Fetch(error) => error.class(),
            Self::Resting { class } => *class,
            Self::Late | Self::Store(_) => ErrorClass::Retry,
        }
    }
}
