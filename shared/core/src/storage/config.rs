//! Settings of storage: `database`, `redis` (queues of a service of more than one process) and
//! `storage` (encryption at rest, retention).

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use avalon_config::{Violation, rule, text};
use avalon_queue::RedisUrl;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, Serializer};
use sqlx::sqlite::SqliteConnectOptions;
use url::Url;

use crate::storage::keyring::EncryptionKey;

/// `database`: where the data is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub struct DatabaseConfig {
    /// `sqlite://…` or `postgres://…`.
    #[serde(deserialize_with = "text::parsed")]
    pub url: DatabaseUrl,
    /// Maximum number of connections of this process.
    pub max_connections: u32,
    /// Whether the service migrates the schema when it starts.
    pub auto_migrate: bool,
}

impl Default for DatabaseConfig {
    fn default() -> Self {
        let url = DatabaseUrl {
            dialect: Dialect::Sqlite,
            url: SecretString::from("sqlite://data/avalon.db"),
        };
        Self {
            url,
            max_connections: 16,
            auto_migrate: true,
        }
    }
}

impl DatabaseConfig {
    /// Checks the section's own rules.
    ///
    /// # Errors
    /// The first [`Violation`].
    pub fn check(&self) -> Result<(), Violation> {
        rule(
            self.max_connections > 0,
            "database.max_connections",
            "must be at least 1",
        )
    }
}

/// SQL dialect of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// SQLite, in a local file.
    Sqlite,
    /// PostgreSQL.
    Postgres,
}

/// The URL of a database in one of our dialects. May hold a password, so it is printed without it.
#[derive(Clone)]
pub struct DatabaseUrl {
    dialect: Dialect,
    url: SecretString,
}

/// The text is not a valid [`DatabaseUrl`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DatabaseUrlError {
    /// Another database, or not a URL.
    #[error("must start with sqlite:// or postgres://")]
    Scheme,
    /// The rest cannot be parsed.
    #[error("must be sqlite://PATH or postgres://USER:PASSWORD@HOST:PORT/DATABASE")]
    Malformed,
}

impl DatabaseUrl {
    /// SQL dialect of the database.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The URL as sqlx takes it, password included.
    pub fn expose(&self) -> &str {
        self.url.expose_secret()
    }

    /// The file of an SQLite database; `None` for Postgres and for a database in memory.
    pub fn sqlite_path(&self) -> Option<PathBuf> {
        if self.dialect == Dialect::Postgres {
            return None;
        }
        let options = SqliteConnectOptions::from_str(self.expose()).ok()?;
        // sqlx names in-memory databases like this.
        let path: &Path = options.get_filename();
        (!path.to_string_lossy().starts_with("file:")).then(|| path.to_owned())
    }
}

impl FromStr for DatabaseUrl {
    type Err = DatabaseUrlError;

    fn from_str(text: &str) -> Result<Self, DatabaseUrlError> {
        let dialect = match text.split_once("://") {
            Some(("sqlite", path)) => {
                let options = SqliteConnectOptions::from_str(text);
                if path.is_empty() || options.is_err() {
                    return Err(DatabaseUrlError::Malformed);
                }
                Dialect::Sqlite
            }
            Some(("postgres" | "postgresql", _)) => {
                Url::parse(text).map_err(|_| DatabaseUrlError::Malformed)?;
                Dialect::Postgres
            }
            _ => return Err(DatabaseUrlError::Scheme),
        };
        Ok(Self {
            dialect,
            url: text.into(),
        })
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.dialect, Url::parse(self.expose())) {
            (Dialect::Postgres, Ok(mut url)) => {
                if url.password().is_some() && url.set_password(Some("***")).is_err() {
                    return f.write_str("postgres://***");
                }
                // libpq accepts passwords here too.
                if url.query().is_some() {
                    url.set_query(Some("***"));
                }
                fmt::Display::fmt(&url, f)
            }
            (Dialect::Postgres, Err(_)) => f.write_str("postgres://***"),
            (Dialect::Sqlite, _) => f.write_str(self.expose()),
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({self})")
    }
}

impl Serialize for DatabaseUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// `redis`: the queues of a service of more than one process.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub struct RedisConfig {
    /// `redis://…` or `rediss://…` (TLS), several separated by commas for Redis Cluster;
    /// `redis+sentinel://…` or `rediss+sentinel://…`; unset: the embedded queue.
    #[serde(deserialize_with = "text::optional", serialize_with = "text::hidden")]
    pub url: Option<RedisNodes>,
    /// The authority of the servers' TLS certificates, PEM; unset: the system's. Hidden for its length.
    #[serde(deserialize_with = "text::secret", serialize_with = "text::hidden")]
    pub tls_ca: Option<SecretString>,
    /// Prefix of all our keys.
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

impl RedisConfig {
    /// Checks the section's own rules.
    ///
    /// # Errors
    /// The first [`Violation`].
    pub fn check(&self) -> Result<(), Violation> {
        let encrypted = self.url.as_ref().is_some_and(RedisNodes::use_tls);
        rule(
            self.tls_ca.is_none() || encrypted,
            "redis.tls_ca",
            "is for a redis.url with rediss://",
        )?;
        let authority = self.tls_ca.as_ref().map(ExposeSecret::expose_secret);
        rule(
            authority.is_none_or(|pem| pem.contains("-----BEGIN CERTIFICATE-----")),
            "redis.tls_ca",
            "must be a certificate, PEM",
        )?;
        rule(
            !self.key_prefix.is_empty(),
            "redis.key_prefix",
            "must not be empty",
        )?;
        rule(
            // Braces choose the Cluster slot of a key, which is the queue's to do.
            !self.key_prefix.contains(['{', '}']),
            "redis.key_prefix",
            "must not contain { or }",
        )
    }
}

/// The URLs of one Redis server or of some nodes of a Redis Cluster, or one URL with the Sentinels of a
/// service ([`RedisUrl`]). May hold passwords.
#[derive(Clone)]
pub struct RedisNodes(Vec<SecretString>);

/// The text is not a valid [`RedisNodes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be redis://HOST:PORT or, for TLS, rediss://HOST:PORT; or several of one sort, with commas; or redis+sentinel://HOST:PORT,HOST:PORT/SERVICE"
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

    /// Whether connections use TLS.
    pub fn use_tls(&self) -> bool {
        self.urls().all(is_tls)
    }

    /// Whether these are nodes of a Redis Cluster: there is more than one.
    pub fn is_cluster(&self) -> bool {
        self.0.len() > 1
    }
}

fn is_tls(url: &str) -> bool {
    url.starts_with("rediss:") || url.starts_with("rediss+sentinel:")
}

impl FromStr for RedisNodes {
    type Err = RedisNodesError;

    fn from_str(text: &str) -> Result<Self, RedisNodesError> {
        // Its commas separate Sentinels, not URLs.
        if RedisUrl::parse(text).is_ok_and(|url| url.is_sentinel()) {
            return Ok(Self(vec![text.trim().into()]));
        }
        let node = |text: &str| {
            let url = Url::parse(text.trim()).map_err(|_| RedisNodesError)?;
            // The library would accept `#insecure`, which disables the check of certificates.
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
        // Nodes of a Cluster refer to each other without a scheme.
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

/// `storage`: encryption at rest, and retention.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub struct StorageConfig {
    /// Encrypts players' secrets. Base64 of 32 bytes.
    #[serde(deserialize_with = "text::optional", serialize_with = "text::hidden")]
    pub encryption_key: Option<EncryptionKey>,
    /// Earlier keys, which still decrypt what they encrypted.
    #[serde(deserialize_with = "text::list", serialize_with = "text::all_hidden")]
    pub previous_encryption_keys: Vec<EncryptionKey>,
    /// Retention of the audit log.
    #[serde(with = "text::duration")]
    pub audit_retention: Duration,
    /// Time in which an operator's erasure of a player can be revoked.
    #[serde(with = "text::duration")]
    pub erase_delay: Duration,
}

impl Default for StorageConfig {
    fn default() -> Self {
        Self {
            encryption_key: None,
            previous_encryption_keys: Vec::new(),
            audit_retention: Duration::from_secs(180 * 24 * 60 * 60),
            erase_delay: Duration::from_secs(24 * 60 * 60),
        }
    }
}

impl StorageConfig {
    /// Checks the section's own rules.
    ///
    /// # Errors
    /// The first [`Violation`].
    pub fn check(&self) -> Result<(), Violation> {
        rule(
            self.audit_retention > Duration::ZERO,
            "storage.audit_retention",
            "must be longer than 0s",
        )
    }
}
