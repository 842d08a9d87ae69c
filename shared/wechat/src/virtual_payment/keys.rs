//! The AppKeys of virtual payment: one per environment, and a previous one while it is replaced.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

use super::Env;

/// An AppKey from the console. Its text is the HMAC key. Redacted by `Debug`.
#[derive(Clone)]
pub struct AppKey(SecretString);

impl AppKey {
    /// Wraps a key from configuration.
    pub fn new(key: SecretString) -> Self {
        Self(key)
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.expose_secret().as_bytes()
    }
}

impl fmt::Debug for AppKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AppKey([REDACTED])")
    }
}

/// An AppKey and the one that it replaces. WeChat switches at a time of its own, so both must work.
#[derive(Clone, Debug)]
pub struct RotatingAppKey {
    /// The key that signs.
    pub current: AppKey,
    /// The key before it, while the console or a part of the fleet still uses it.
    pub previous: Option<AppKey>,
}

impl RotatingAppKey {
    /// Returns the keys in the order in which they are tried.
    pub fn candidates(&self) -> impl Iterator<Item = &AppKey> {
        std::iter::once(&self.current).chain(&self.previous)
    }
}

/// The AppKeys of both environments; one that is not configured is not used.
#[derive(Clone, Debug, Default)]
pub struct AppKeys {
    /// The key of production.
    pub production: Option<RotatingAppKey>,
    /// The key of the sandbox.
    pub sandbox: Option<RotatingAppKey>,
}

impl AppKeys {
    /// Returns the keys of an environment.
    pub fn of(&self, env: Env) -> Option<&RotatingAppKey> {
        match env {
            Env::Production => self.production.as_ref(),
            Env::Sandbox => self.sandbox.as_ref(),
        }
    }
}
