//! The value of `redis.url`: one server, the nodes of a Cluster, or the Sentinels of a service.

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo};

use crate::store::StoreError;

const SENTINEL: &str = "redis+sentinel://";
const SENTINEL_TLS: &str = "rediss+sentinel://";
const SENTINEL_PORT: u16 = 26379;

/// Where Redis is. May hold passwords.
#[derive(Clone)]
pub struct RedisUrl {
    pub(super) target: Target,
    tls: bool,
}

#[derive(Clone)]
pub(super) enum Target {
    /// URLs of one server, or of several nodes of a Cluster.
    Servers(Vec<String>),
    Sentinels(Box<SentinelUrl>),
}

/// `redis+sentinel://[USER:PASSWORD@]HOST[:PORT][,HOST…]/SERVICE[/DB]`.
#[derive(Clone)]
pub(super) struct SentinelUrl {
    pub(super) sentinels: Vec<(String, u16)>,
    pub(super) service: String,
    /// Credentials and database of the service's servers.
    pub(super) servers: ConnectionInfo,
    /// Credentials of the Sentinels, `?sentinel_username=…&sentinel_password=…`.
    pub(super) own: ConnectionInfo,
    pub(super) tls: bool,
}

impl RedisUrl {
    /// Parses `redis://…` or, for TLS, `rediss://…`; several of these, comma-separated, for Cluster;
    /// or `redis+sentinel://` or `rediss+sentinel://`, followed by
    /// `[USER:PASSWORD@]HOST[:PORT][,HOST…]/SERVICE[/DB]`. The credentials are those of the service's
    /// servers; those of the Sentinels are `?sentinel_username=…&sentinel_password=…`.
    ///
    /// # Errors
    /// If the text is malformed. The error does not contain it, since it may hold a password.
    pub fn parse(text: &str) -> Result<Self, StoreError> {
        // The library accepts any certificate with the fragment `#insecure`.
        if text.contains('#') {
            return Err(malformed());
        }
        if let Some((rest, tls)) = sentinel_part(text.trim()) {
            let url = SentinelUrl::parse(rest, tls).ok_or_else(malformed)?;
            let target = Target::Sentinels(Box::new(url));
            return Ok(Self { target, tls });
        }
        let urls: Vec<String> = text
            .split(',')
            .map(|part| part.trim().to_owned())
            .filter(|part| !part.is_empty())
            .collect();
        let with_tls = urls.iter().filter(|url| url.starts_with("rediss:")).count();
        // Nodes of a Cluster name each other without a scheme, so all of them use TLS or none.
        let consistent = with_tls == 0 || with_tls == urls.len();
        let valid = |url: &String| url.as_str().into_connection_info().is_ok();
        if urls.is_empty() || !consistent || !urls.iter().all(valid) {
            return Err(malformed());
        }
        Ok(Self {
            target: Target::Servers(urls),
            tls: with_tls > 0,
        })
    }

    /// Whether connections use TLS.
    pub fn uses_tls(&self) -> bool {
        self.tls
    }

    /// Whether this names the Sentinels of a service.
    pub fn is_sentinel(&self) -> bool {
        matches!(self.target, Target::Sentinels(_))
    }
}

/// Omits the library's message, which may contain a password.
pub(super) fn malformed() -> StoreError {
    let why = "the Redis URL or the certificate authority is malformed";
    StoreError::Unexpected(why.to_owned())
}

/// The part after the scheme of a Sentinel URL, and whether it uses TLS.
fn sentinel_part(text: &str) -> Option<(&str, bool)> {
    match text.strip_prefix(SENTINEL) {
        Some(rest) => Some((rest, false)),
        None => Some((text.strip_prefix(SENTINEL_TLS)?, true)),
    }
}

impl SentinelUrl {
    fn parse(text: &str, tls: bool) -> Option<Self> {
        let (text, query) = text.split_once('?').unwrap_or((text, ""));
        let (authority, path) = text.split_once('/')?;
        let (credentials, hosts) = match authority.rsplit_once('@') {
            Some((credentials, hosts)) => (format!("{credentials}@"), hosts),
            None => (String::new(), authority),
        };
        let (service, db) = path.split_once('/').unwrap_or((path, "0"));
        if service.is_empty() || service.contains(['%', ' ']) {
            return None;
        }
        let sentinels: Option<Vec<_>> = hosts.split(',').map(address).collect();
        Some(Self {
            sentinels: sentinels?,
            service: service.to_owned(),
            servers: as_library(&credentials, db)?,
            own: as_library(&sentinel_credentials(query)?, "0")?,
            tls,
        })
    }
}

/// Lets the library decode credentials and the number of the database.
fn as_library(credentials: &str, db: &str) -> Option<ConnectionInfo> {
    format!("redis://{credentials}placeholder/{db}")
        .into_connection_info()
        .ok()
}

/// `HOST` or `HOST:PORT`.
fn address(text: &str) -> Option<(String, u16)> {
    let text = text.trim();
    let has_port = text
        .rsplit_once(':')
        .is_some_and(|(_, port)| !port.ends_with(']'));
    let url = match has_port {
        true => format!("redis://{text}"),
        false => format!("redis://{text}:{SENTINEL_PORT}"),
    };
    match url.into_connection_info().ok()?.addr() {
        ConnectionAddr::Tcp(host, port) if !text.is_empty() => Some((host.clone(), *port)),
        _ => None,
    }
}

fn sentinel_credentials(query: &str) -> Option<String> {
    let (mut username, mut password) = ("", "");
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=')? {
            ("sentinel_username", value) => username = value,
            ("sentinel_password", value) => password = value,
            _ => return None,
        }
    }
    match (username, password) {
        ("", "") => Some(String::new()),
        (_, "") => None,
        _ => Some(format!("{username}:{password}@")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentinel(text: &str) -> SentinelUrl {
        match RedisUrl::parse(text).unwrap().target {
            Target::Sentinels(url) => *url,
            Target::Servers(_) => panic!("{text} does not name Sentinels"),
        }
    }

    #[test]
    fn sentinel_url_has_hosts_service_and_database() {
        let url = sentinel("redis+sentinel://a,b:26380,[::1],[::2]:1/main/3");
        let expected = [("a", 26379), ("b", 26380), ("::1", 26379), ("::2", 1)];
        let expected = expected.map(|(host, port)| (host.to_owned(), port));
        assert_eq!(url.sentinels, expected);
        assert_eq!(url.service, "main");
        assert_eq!(url.servers.redis_settings().db(), 3);
        assert_eq!(url.servers.redis_settings().password(), None);
        assert!(!url.tls);
    }

    #[test]
    fn credentials_are_the_servers_not_the_sentinels() {
        let url = sentinel("rediss+sentinel://user:p%40ss@a/main");
        assert_eq!(url.servers.redis_settings().username(), Some("user"));
        assert_eq!(url.servers.redis_settings().password(), Some("p@ss"));
        assert_eq!(url.servers.redis_settings().db(), 0);
        assert_eq!(url.own.redis_settings().password(), None);
        assert!(url.tls);
        let url = sentinel("redis+sentinel://:x@a/main?sentinel_password=y%2F");
        assert_eq!(url.servers.redis_settings().password(), Some("x"));
        assert_eq!(url.own.redis_settings().password(), Some("y/"));
    }

    #[test]
    fn malformed_urls_are_refused_without_their_text() {
        for text in [
            "",
            "hunter2",
            "http://hunter2",
            "redis://a,rediss://b",
            "rediss://hunter2/#insecure",
            "redis+sentinel://hunter2",
            "redis+sentinel://hunter2/",
            "redis+sentinel:///main",
            "redis+sentinel://a,,hunter2/main",
            "redis+sentinel://a:hunter2/main",
            "redis+sentinel://a/main/hunter2",
            "redis+sentinel://a/main?hunter2=1",
            "redis+sentinel://a/main?sentinel_username=hunter2",
            "redis+sentinel://a/main#insecure",
        ] {
            let Err(error) = RedisUrl::parse(text) else {
                panic!("{text} was accepted");
            };
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn servers_and_clusters_are_comma_separated() {
        let url = RedisUrl::parse("rediss://a:1, rediss://:secret@b:2/").unwrap();
        assert!(url.uses_tls() && !url.is_sentinel());
        let Target::Servers(urls) = url.target else {
            panic!("not servers");
        };
        assert_eq!(urls, ["rediss://a:1", "rediss://:secret@b:2/"]);
    }
}
