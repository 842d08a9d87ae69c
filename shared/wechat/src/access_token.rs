//! The platform's access token and the port that supplies it. A fleet implements the port once, so
//! that all its processes share one token; storing and sharing it is not done here.

use std::fmt;

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};

use crate::{ErrorClass, WechatError};

/// WeChat's `access_token`, which authorises calls as our app for two hours. Redacted by `Debug`.
#[derive(Clone)]
pub struct AccessToken(SecretString);

impl AccessToken {
    /// Wraps a token that WeChat issued earlier, for example one read from encrypted storage.
    pub fn new(token: SecretString) -> Self {
        Self(token)
    }

    /// Returns the token itself. Must not leave the server or enter a log.
    pub fn expose_secret(&self) -> &str {
        self.0.expose_secret()
    }
}

/// Not constant-time: tokens are only compared with our own, never with untrusted input.
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

/// Supplies calls with the access token.
#[async_trait]
pub trait AccessTokens: Send + Sync + fmt::Debug {
    /// Returns the token to use for the next call.
    ///
    /// # Errors
    /// When no token is available and none can be fetched.
    async fn current(&self) -> Result<AccessToken, AccessTokenError>;

    /// Records that WeChat rejected this token. The next [`Self::current`] returns another one if one
    /// can be fetched; does nothing when the token was already replaced.
    ///
    /// # Errors
    /// When the rejection could not be recorded.
    async fn refused(&self, token: &AccessToken) -> Result<(), AccessTokenError>;
}

/// An access token that is never replaced, for a process that makes a few calls.
#[derive(Debug)]
pub struct FixedToken(AccessToken);

impl FixedToken {
    /// Wraps a token that was just fetched.
    pub fn new(token: AccessToken) -> Self {
        Self(token)
    }
}

#[async_trait]
impl AccessTokens for FixedToken {
    async fn current(&self) -> Result<AccessToken, AccessTokenError> {
        Ok(self.0.clone())
    }

    async fn refused(&self, _: &AccessToken) -> Result<(), AccessTokenError> {
        Ok(())
    }
}

/// Reason why no access token is available.
#[derive(Debug, thiserror::Error)]
pub enum AccessTokenError {
    /// WeChat did not issue one.
    #[error("WeChat did not issue an access token")]
    Fetch(#[source] Box<WechatError>),
    /// The last fetch failed, and the next one is not due yet.
    #[error("fetching the access token failed and is backing off ({class})")]
    BackingOff {
        /// Class of the failure.
        class: ErrorClass,
    },
    /// Another process is fetching one and did not finish in time.
    #[error("timed out waiting for another process to fetch the access token")]
    TimedOut,
    /// The token store failed.
    #[error("the access token store failed")]
    Store(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl AccessTokenError {
    /// Returns how the caller should react.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Fetch(error) => error.class(),
            Self::BackingOff { class } => *class,
            Self::TimedOut | Self::Store(_) => ErrorClass::Retry,
        }
    }
}
