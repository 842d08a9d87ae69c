//! `profile`: what is believed of players' profiles, and how their nicknames are checked.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize, Serializer};
use url::Host;

use super::text;

/// `profile`: players' profiles.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub struct ProfileConfig {
    /// How long a session key still opens data after WeChat replaced it.
    #[serde(with = "text::duration")]
    pub session_key_grace: Duration,
    /// How far the time of encrypted data may be from ours, either way.
    #[serde(with = "text::duration")]
    pub watermark_window: Duration,
    /// Hosts that pictures may be on, their subdomains included; empty: any.
    #[serde(deserialize_with = "text::list")]
    pub avatar_hosts: Vec<HostName>,
    /// Whether WeChat's content check sees nicknames.
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

/// What WeChat's content check is used for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckText {
    /// Nothing: it is not asked.
    #[default]
    Off,
    /// What it finds is logged and counted.
    Observe,
    /// A nickname that it calls risky is not shown either.
    Enforce,
}

/// The name of a host, in lower case: no scheme, port or path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostName(String);

/// A text is no [`HostName`].
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
