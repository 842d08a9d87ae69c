//! `database`: where the data is, and which SQL dialect it speaks.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, Serializer};
use sqlx::sqlite::SqliteConnectOptions;
use url::Url;

use super::text;

/// `database`: where the data is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub struct DatabaseConfig {
    /// `sqlite://…` or `postgres://…`.
    #[serde(deserialize_with = "text::parsed")]
    pub url: DatabaseUrl,
    /// How many connections this process may hold.
    pub max_connections: u32,
    /// Whether the service brings the schema up to date when it starts.
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

/// Which SQL a database speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// SQLite, in a file of this machine.
    Sqlite,
    /// PostgreSQL.
    Postgres,
}

/// The URL of a database that we know how to talk to. May hold a password: prints without it.
#[derive(Clone)]
pub struct DatabaseUrl {
    dialect: Dialect,
    url: SecretString,
}

/// A text is no [`DatabaseUrl`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DatabaseUrlError {
    /// Another database, or no URL at all.
    #[error("must start with sqlite:// or postgres://")]
    Scheme,
    /// The rest can't be read.
    #[error("must be sqlite://PATH or postgres://USER:PASSWORD@HOST:PORT/DATABASE")]
    Malformed,
}

impl DatabaseUrl {
    /// Which SQL to speak.
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
        // sqlx gives databases in memory names of this form.
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
                // libpq's form allows passwords here too.
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
