//! The sections whose values need few words: one struct each. Those with types of their own have
//! files of their own (`auth.rs`, `database.rs`, `fulfil.rs`, `limits.rs`, `pay.rs`, `profile.rs`,
//! `redis.rs`).

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use ipnet::IpNet;
use secrecy::SecretString;
use serde::{Deserialize, Serialize, Serializer};
use url::Url;

#[cfg(doc)]
use super::Config;
use super::{Role, WebOrigin, text};
use crate::storage::keyring::EncryptionKey;

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// `http`: the public API.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub struct HttpConfig {
    /// Address and port.
    #[serde(deserialize_with = "text::address")]
    pub listen: SocketAddr,
    /// Largest body of a request, in bytes.
    pub max_body: u32,
    /// A request is answered within this, come what may.
    #[serde(with = "text::duration")]
    pub request_timeout: Duration,
    /// How long a request is held for its job when it does not say.
    #[serde(with = "text::duration")]
    pub wait: Duration,
    /// How long it may ask to be held (`Prefer: wait`).
    #[serde(with = "text::duration")]
    pub max_wait: Duration,
    /// How long requests are still taken after `/readyz` has said that the process stops. See
    /// [`HttpConfig::drain_delay`] for the default.
    #[serde(with = "text::optional_duration")]
    pub drain_delay: Option<Duration>,
    /// The proxies whose `X-Forwarded-For` is believed; nobody else's is.
    #[serde(deserialize_with = "text::list")]
    pub trusted_proxies: Vec<IpNet>,
    /// The certificate and its chain, PEM: with it the listener speaks TLS alone. Hidden like the key,
    /// for its length.
    #[serde(deserialize_with = "text::secret", serialize_with = "text::hidden")]
    pub tls_certificate: Option<SecretString>,
    /// The certificate's private key, PEM.
    #[serde(deserialize_with = "text::secret", serialize_with = "text::hidden")]
    pub tls_key: Option<SecretString>,
    /// How long browsers are to keep to https; 0s: nothing is said. See [`HttpConfig::hsts`] for the
    /// default.
    #[serde(with = "text::optional_duration")]
    pub hsts: Option<Duration>,
    /// Web pages that may call the API; none by default. Mini-games are no web pages.
    #[serde(deserialize_with = "text::list")]
    pub cors_origins: Vec<WebOrigin>,
}

impl HttpConfig {
    /// How long browsers are to keep to https: as configured, else a year when we speak TLS
    /// ourselves. None: nothing is said.
    pub fn hsts(&self) -> Option<Duration> {
        let year = Duration::from_secs(365 * 24 * 60 * 60);
        let default = self.tls_certificate.as_ref().map(|_| year);
        self.hsts.or(default).filter(|ttl| !ttl.is_zero())
    }
}

impl HttpConfig {
    /// How long a load balancer may take to notice that the process stops: as configured, else five
    /// seconds, and no time in `dev`.
    pub fn drain_delay(&self, role: Role) -> Duration {
        let default = match role {
            Role::Dev => Duration::ZERO,
            _ => Duration::from_secs(5),
        };
        self.drain_delay.unwrap_or(default)
    }
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            listen: loopback(8080),
            max_body: 64 * 1024,
            request_timeout: Duration::from_secs(35),
            wait: Duration::from_secs(5),
            max_wait: Duration::from_secs(30),
            drain_delay: None,
            trusted_proxies: Vec::new(),
            tls_certificate: None,
            tls_key: None,
            hsts: None,
            cors_origins: Vec::new(),
        }
    }
}

/// `ops`: the listener for operators. See [`Config::ops_listen`] for the default.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub struct OpsConfig {
    /// Address and port.
    #[serde(deserialize_with = "text::optional_address")]
    pub listen: Option<SocketAddr>,
}

/// `queue`: leases, and the embedded queue.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub struct QueueConfig {
    /// File of the embedded queue, used when `redis.url` is unset. See [`Config::queue_path`].
    pub path: Option<PathBuf>,
    /// A job whose worker is silent for this long is given to another.
    #[serde(with = "text::duration")]
    pub lease_timeout: Duration,
    /// A job whose worker was lost this often is dead.
    pub max_lost_leases: u32,
    /// How long running jobs may go on when the process is told to stop.
    #[serde(with = "text::duration")]
    pub stop_grace: Duration,
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self {
            path: None,
            lease_timeout: Duration::from_secs(30),
            max_lost_leases: 5,
            stop_grace: Duration::from_secs(25),
        }
    }
}

/// `wechat`: the mini-game at WeChat's platform.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub struct WechatConfig {
    /// App id of the mini-game.
    pub app_id: Option<String>,
    /// App secret of the mini-game.
    #[serde(deserialize_with = "text::secret", serialize_with = "text::hidden")]
    pub app_secret: Option<SecretString>,
    /// Where the platform's APIs are.
    #[serde(deserialize_with = "text::parsed")]
    pub api_base: HttpUrl,
    /// How long connecting may take.
    #[serde(with = "text::duration")]
    pub connect_timeout: Duration,
    /// How long a call may take in all.
    #[serde(with = "text::duration")]
    pub request_timeout: Duration,
}

impl Default for WechatConfig {
    fn default() -> Self {
        Self {
            app_id: None,
            app_secret: None,
            api_base: HttpUrl::wechat_platform(),
            connect_timeout: Duration::from_secs(2),
            request_timeout: Duration::from_secs(4),
        }
    }
}

/// `storage`: encryption at rest, and how long things are kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub struct StorageConfig {
    /// Seals secrets of players. Base64 of 32 bytes.
    #[serde(deserialize_with = "text::optional", serialize_with = "text::hidden")]
    pub encryption_key: Option<EncryptionKey>,
    /// Keys that were in use before and still open what they sealed.
    #[serde(deserialize_with = "text::list", serialize_with = "text::all_hidden")]
    pub previous_encryption_keys: Vec<EncryptionKey>,
    /// How long events of the audit log are kept.
    #[serde(with = "text::duration")]
    pub audit_retention: Duration,
}

impl Default for StorageConfig {
    fn default() -> Self {
        Self {
            encryption_key: None,
            previous_encryption_keys: Vec::new(),
            audit_retention: Duration::from_secs(180 * 24 * 60 * 60),
        }
    }
}

/// `admin`: the admin routes of the listener for operators.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub struct AdminConfig {
    /// The bearer token that opens them.
    #[serde(deserialize_with = "text::secret", serialize_with = "text::hidden")]
    pub token: Option<SecretString>,
}

/// `log`: logging.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub struct LogConfig {
    /// Form of a line. See [`LogConfig::format`] for the default.
    pub format: Option<LogFormat>,
    /// What is logged: directives such as `info,avalon_queue=debug`.
    pub level: String,
}

/// Form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines: one JSON object a line.
    Json,
}

impl LogConfig {
    /// The form to log in: as configured, else text for developers and JSON for everyone else.
    pub fn format(&self, role: Role) -> LogFormat {
        let default = if role == Role::Dev {
            LogFormat::Text
        } else {
            LogFormat::Json
        };
        self.format.unwrap_or(default)
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            format: None,
            // sqlx notes each table that is there already.
            level: "info,sqlx=warn".to_owned(),
        }
    }
}

/// `telemetry`: the export of traces.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub struct TelemetryConfig {
    /// Where an OpenTelemetry collector takes OTLP over HTTP (`/v1/traces` is appended); unset: no
    /// export.
    #[serde(deserialize_with = "text::optional")]
    pub otlp_endpoint: Option<HttpUrl>,
    /// What this service is called there.
    pub service_name: String,
    /// Which part of all traces is exported, 0 to 1.
    pub sample_ratio: f64,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self {
            otlp_endpoint: None,
            service_name: "avalon-wx".to_owned(),
            sample_ratio: 1.0,
        }
    }
}

/// `workers`: worker pools.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub struct WorkersConfig {
    /// The queues that this process works on; empty: all.
    #[serde(deserialize_with = "text::list")]
    pub queues: Vec<String>,
    /// How many jobs of one queue run at the same time.
    pub concurrency: u32,
}

impl Default for WorkersConfig {
    fn default() -> Self {
        Self {
            queues: Vec::new(),
            concurrency: 64,
        }
    }
}

/// `simulator`: the WeChat simulator.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub struct SimulatorConfig {
    /// Address and port.
    #[serde(deserialize_with = "text::address")]
    pub listen: SocketAddr,
}

impl Default for SimulatorConfig {
    fn default() -> Self {
        Self {
            listen: loopback(8090),
        }
    }
}

/// An `http://` or `https://` URL to which paths are appended: no credentials, query or fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpUrl(Url);

/// A text is no [`HttpUrl`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be an http:// or https:// URL without credentials, query or fragment")]
pub struct HttpUrlError;

impl HttpUrl {
    #[expect(
        clippy::expect_used,
        reason = "a constant, parsed in every test of the defaults"
    )]
    fn wechat_platform() -> Self {
        "https://api.weixin.qq.com".parse().expect("a URL")
    }

    #[expect(
        clippy::expect_used,
        reason = "a constant, parsed in every test of the defaults"
    )]
    pub(super) fn wechat_pay_platform() -> Self {
        "https://api.mch.weixin.qq.com".parse().expect("a URL")
    }

    /// The URL as text, without a slash at its end.
    pub fn as_str(&self) -> &str {
        self.0.as_str().trim_end_matches('/')
    }

    /// The URL.
    pub fn as_url(&self) -> &Url {
        &self.0
    }
}

impl FromStr for HttpUrl {
    type Err = HttpUrlError;

    fn from_str(text: &str) -> Result<Self, HttpUrlError> {
        let url = Url::parse(text).map_err(|_| HttpUrlError)?;
        let plain = url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        if !matches!(url.scheme(), "http" | "https") || !plain {
            return Err(HttpUrlError);
        }
        Ok(Self(url))
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for HttpUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
