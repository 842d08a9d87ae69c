//! `redis`: the queues of a service of more than one process.

use std::{fmt, str::FromStr};

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use url::Url;

use super::text;

/// `redis`: the queues of a service of more than one process.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub struct RedisConfig {
    /// `redis://…` or `rediss://…` (TLS), several separated by commas for Redis Cluster; unset: the
    /// embedded queue.
    #[serde(deserialize_with = "text::optional", serialize_with = "text::hidden")]
    pub url: Option<RedisNodes>,
    /// The authority that signed the certificates of servers with TLS, PEM; unset: one that the system
    /// trusts. Hidden for its length.
    #[serde(deserialize_with = "text::secret", serialize_with = "text::hidden")]
    pub tls_ca: Option<SecretString>,
    /// What all our keys begin with.
    pub key_prefix: String,
}

impl Default for RedisConfig {
    fn default() -> Self {
        Self {
            url: None,
            tls_ca: None,
            key_prefix: "avalon".to_owned(),
        }
    }
}

/// The URLs of one Redis server or of some nodes of a Redis Cluster. May hold passwords.
#[derive(Clone)]
pub struct RedisNodes(Vec<SecretString>);

/// A text is no [`RedisNodes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be redis://HOST:PORT (rediss:// for TLS), or several of these separated by commas, all with \
     TLS or none"
)]
pub struct RedisNodesError;

impl RedisNodes {
    /// The URLs, at least one, passwords included.
    pub fn urls(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(ExposeSecret::expose_secret)
    }

    /// The URLs as one text, separated by commas, passwords included.
    pub fn joined(&self) -> String {
        self.urls().collect::<Vec<_>>().join(",")
    }

    /// Whether they are spoken to by TLS.
    pub fn use_tls(&self) -> bool {
        self.urls().all(is_tls)
    }

    /// Whether these are nodes of a Redis Cluster: there is more than one.
    pub fn is_cluster(&self) -> bool {
        self.0.len() > 1
    }
}

fn is_tls(url: &str) -> bool {
    url.starts_with("rediss:")
}

impl FromStr for RedisNodes {
    type Err = RedisNodesError;

    fn from_str(text: &str) -> Result<Self, RedisNodesError> {
        let node = |text: &str| {
            let url = Url::parse(text.trim()).map_err(|_| RedisNodesError)?;
            // What the library reads in a fragment is `#insecure`: not to look at certificates.
            let fits = matches!(url.scheme(), "redis" | "rediss")
                && url.has_host()
                && url.fragment().is_none();
            if fits {
                Ok(text.trim().into())
            } else {
                Err(RedisNodesError)
            }
        };
        let nodes: Vec<_> = text.split(',').map(node).collect::<Result<_, _>>()?;
        let nodes = Self(nodes);
        let with_tls = nodes.urls().filter(|url| is_tls(url)).count();
        // Nodes of a Cluster name each other without a scheme.
        match with_tls == 0 || with_tls == nodes.0.len() {
            true => Ok(nodes),
            false => Err(RedisNodesError),
        }
    }
}

impl fmt::Debug for RedisNodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisNodes({} hidden)", self.0.len())
    }
}
