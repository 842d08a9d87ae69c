//! Settings of the API: `http` (the public listener), `ops` and `admin` (the operators' listener), and in
//! `limits.rs` rate limits.

mod limits;
mod web_origin;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use avalon_config::{Mode, Violation, rule, text};
use ipnet::IpNet;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::server::bounds::Bounds;
pub use limits::LimitsConfig;
pub use web_origin::{WebOrigin, WebOriginError};

/// `http`: the public API.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub struct HttpConfig {
    /// Address and port.
    #[serde(deserialize_with = "text::address")]
    pub listen: SocketAddr,
    /// Maximum size of a request body in bytes.
    pub max_body: u32,
    /// Maximum size of a request's head in bytes.
    pub max_head: u32,
    /// Maximum number of connections.
    pub max_connections: u32,
    /// Maximum number of connections from one address that is not a trusted proxy.
    pub max_connections_per_address: u32,
    /// Timeout of a request's head.
    #[serde(with = "text::duration")]
    pub head_timeout: Duration,
    /// Time for which a connection may stay open between two requests.
    #[serde(with = "text::duration")]
    pub idle_timeout: Duration,
    /// Time for which a client may read nothing of a response.
    #[serde(with = "text::duration")]
    pub write_timeout: Duration,
    /// Timeout of a request.
    #[serde(with = "text::duration")]
    pub request_timeout: Duration,
    /// Time for which a request waits for its job unless it states another.
    #[serde(with = "text::duration")]
    pub wait: Duration,
    /// Maximum of `Prefer: wait`.
    #[serde(with = "text::duration")]
    pub max_wait: Duration,
    /// Time for which the oldest ready job of a queue may have been waiting before requests for it are refused.
    #[serde(with = "text::duration")]
    pub max_queue_wait: Duration,
    /// Time for which requests are still accepted after `/readyz` has begun to fail. See
    /// [`HttpConfig::drain_delay`] for the default.
    #[serde(with = "text::optional_duration")]
    pub drain_delay: Option<Duration>,
    /// Proxies whose `X-Forwarded-For` is trusted.
    #[serde(deserialize_with = "text::list")]
    pub trusted_proxies: Vec<IpNet>,
    /// The certificate and its chain, PEM; set: the listener accepts TLS only. Hidden for its length.
    #[serde(deserialize_with = "text::secret", serialize_with = "text::hidden")]
    pub tls_certificate: Option<SecretString>,
    /// The certificate's private key, PEM.
    #[serde(deserialize_with = "text::secret", serialize_with = "text::hidden")]
    pub tls_key: Option<SecretString>,
    /// `max-age` of Strict-Transport-Security; 0s: no header. See [`HttpConfig::hsts`] for the default.
    #[serde(with = "text::optional_duration")]
    pub hsts: Option<Duration>,
    /// Origins of web pages that may call the API; none by default. Mini-games do not need it.
    #[serde(deserialize_with = "text::list")]
    pub cors_origins: Vec<WebOrigin>,
}

impl HttpConfig {
    /// `max-age` of Strict-Transport-Security: as configured, else a year if the listener uses TLS.
    /// `None`: no header.
    pub fn hsts(&self) -> Option<Duration> {
        let year = Duration::from_secs(365 * 24 * 60 * 60);
        let default = self.tls_certificate.as_ref().map(|_| year);
        self.hsts.or(default).filter(|ttl| !ttl.is_zero())
    }

    /// Time for a load balancer to notice that the process stops: as configured, else five seconds,
    /// and zero in `dev`.
    pub fn drain_delay(&self, mode: impl Into<Mode>) -> Duration {
        let default = match mode.into() {
            Mode::Development => Duration::ZERO,
            Mode::Production => Duration::from_secs(5),
        };
        self.drain_delay.unwrap_or(default)
    }
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            max_body: 64 * 1024,
            max_head: 16 * 1024,
            max_connections: 4096,
            max_connections_per_address: 512,
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            write_timeout: Duration::from_secs(30),
            request_timeout: Duration::from_secs(35),
            wait: Duration::from_secs(5),
            max_wait: Duration::from_secs(30),
            max_queue_wait: Duration::from_secs(15),
            drain_delay: None,
            trusted_proxies: Vec::new(),
            tls_certificate: None,
            tls_key: None,
            hsts: None,
            cors_origins: Vec::new(),
        }
    }
}

impl HttpConfig {
    /// Checks the section's own rules.
    ///
    /// # Errors
    /// The first [`Violation`].
    pub fn check(&self) -> Result<(), Violation> {
        rule(self.max_body > 0, "http.max_body", "must be at least 1")?;
        self.check_connections()?;
        rule(
            self.wait <= self.max_wait,
            "http.wait",
            "must not be longer than http.max_wait",
        )?;
        rule(
            self.max_wait < self.request_timeout,
            "http.request_timeout",
            "must be longer than http.max_wait",
        )?;
        rule(
            self.tls_certificate.is_none() || self.tls_key.is_some(),
            "http.tls_key",
            "required beside http.tls_certificate (PEM)",
        )?;
        rule(
            self.tls_key.is_none() || self.tls_certificate.is_some(),
            "http.tls_certificate",
            "required beside http.tls_key (PEM)",
        )?;
        let any = self.cors_origins.iter().any(WebOrigin::is_any);
        rule(
            !any || self.cors_origins.len() == 1,
            "http.cors_origins",
            "* means all, so it must stand alone",
        )
    }

    fn check_connections(&self) -> Result<(), Violation> {
        for (connections, key) in [
            (self.max_connections, "http.max_connections"),
            (
                self.max_connections_per_address,
                "http.max_connections_per_address",
            ),
        ] {
            rule(connections > 0, key, "must be at least 1")?;
        }
        for (timeout, key) in [
            (self.head_timeout, "http.head_timeout"),
            (self.idle_timeout, "http.idle_timeout"),
            (self.write_timeout, "http.write_timeout"),
            (self.max_queue_wait, "http.max_queue_wait"),
        ] {
            rule(
                timeout >= Duration::from_secs(1),
                key,
                "must be at least 1s",
            )?;
        }
        rule(
            (Bounds::MIN_HEAD..=1024 * 1024).contains(&self.max_head),
            "http.max_head",
            "must be 8192 to 1048576",
        )
    }
}

/// `ops`: the listener for operators.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub struct OpsConfig {
    /// Address and port. The default depends on the role.
    #[serde(deserialize_with = "text::optional_address")]
    pub listen: Option<SocketAddr>,
}

/// `admin`: the admin routes of the listener for operators.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub struct AdminConfig {
    /// The bearer token that they require.
    #[serde(deserialize_with = "text::secret", serialize_with = "text::hidden")]
    pub token: Option<SecretString>,
}

impl AdminConfig {
    /// The token is all that protects the admin routes, so it must not be guessable.
    const MIN_TOKEN: usize = 32;

    /// Checks the section's own rules.
    ///
    /// # Errors
    /// The first [`Violation`].
    pub fn check(&self) -> Result<(), Violation> {
        let token = self.token.as_ref().map(ExposeSecret::expose_secret);
        rule(
            token.is_none_or(|token| token.chars().count() >= Self::MIN_TOKEN),
            "admin.token",
            "must have at least 32 characters",
        )
    }
}
