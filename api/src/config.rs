//! Settings of the API: `http` (the public listener), `ops` and `admin` (the operators' listener) and
//! `limits` (rate limits).

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    str::FromStr,
    time::Duration,
};

use avalon_config::{Mode, Violation, rule, text};
use avalon_core::analytics::incoming::MAX_EVENTS;
use ipnet::IpNet;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, Serializer};
use url::Url;

use crate::middleware::limits::Rate;
use crate::routes::analytics::envelope::MAX_REPORT_BYTES;

/// `http`: the public API.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub struct HttpConfig {
    /// Address and port.
    #[serde(deserialize_with = "text::address")]
    pub listen: SocketAddr,
    /// Maximum size of a request body in bytes.
    pub max_body: u32,
    /// Timeout of a request.
    #[serde(with = "text::duration")]
    pub request_timeout: Duration,
    /// Time for which a request waits for its job unless it states another.
    #[serde(with = "text::duration")]
    pub wait: Duration,
    /// Maximum of `Prefer: wait`.
    #[serde(with = "text::duration")]
    pub max_wait: Duration,
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

impl HttpConfig {
    /// Checks the section's own rules.
    ///
    /// # Errors
    /// The first [`Violation`].
    pub fn check(&self) -> Result<(), Violation> {
        rule(self.max_body > 0, "http.max_body", "must be at least 1")?;
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

/// `limits`: rate limits. A rate such as `300/1m` is a burst of 300 and then an even pace of 300 per
/// minute. Units are requests unless the key names another.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub struct LimitsConfig {
    /// On or off. See [`LimitsConfig::enabled`] for the default.
    pub enabled: Option<bool>,
    /// All requests from one address, which many players may share.
    #[serde(deserialize_with = "text::parsed")]
    pub per_address: Rate,
    /// All requests of one player.
    #[serde(deserialize_with = "text::parsed")]
    pub per_player: Rate,
    /// Requests of one player to one route.
    #[serde(deserialize_with = "text::parsed")]
    pub per_route: Rate,
    /// Sign-ins and refreshes from one address.
    #[serde(deserialize_with = "text::parsed")]
    pub sign_in_per_address: Rate,
    /// Sign-ins on one device.
    #[serde(deserialize_with = "text::parsed")]
    pub sign_in_per_device: Rate,
    /// Events that one player reports.
    #[serde(deserialize_with = "text::parsed")]
    pub events_per_player: Rate,
    /// Bytes of one player's reports, decompressed.
    #[serde(deserialize_with = "text::parsed")]
    pub event_bytes_per_player: Rate,
    /// Bytes of one player's accepted events as they are stored: what one player can fill the queue with
    /// while a store of events is down, and the database otherwise.
    #[serde(deserialize_with = "text::parsed")]
    pub stored_event_bytes_per_player: Rate,
    /// Payment callbacks from one address whose signing key is unknown on receipt.
    #[serde(deserialize_with = "text::parsed")]
    pub unverified_callbacks_per_address: Rate,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            enabled: None,
            per_address: Rate::per_minute(3000),
            per_player: Rate::per_minute(300),
            per_route: Rate::per_minute(120),
            sign_in_per_address: Rate::per_minute(300),
            sign_in_per_device: Rate::per_minute(20),
            events_per_player: Rate::per(5000, Duration::from_secs(600)),
            event_bytes_per_player: Rate::per(4 * 1024 * 1024, Duration::from_secs(600)),
            stored_event_bytes_per_player: Rate::per(
                8 * 1024 * 1024,
                Duration::from_secs(24 * 3600),
            ),
            unverified_callbacks_per_address: Rate::per_minute(20),
        }
    }
}

impl LimitsConfig {
    /// Whether rates are limited: as configured, else everywhere but in `dev`.
    pub fn enabled(&self, mode: impl Into<Mode>) -> bool {
        self.enabled.unwrap_or(mode.into() != Mode::Development)
    }

    /// Checks the section's own rules: a report of the maximum size passes a fresh budget. One that never
    /// passes would be repeated for ever.
    ///
    /// # Errors
    /// The first [`Violation`].
    pub fn check(&self) -> Result<(), Violation> {
        rule(
            self.events_per_player.quota.get() as usize >= MAX_EVENTS,
            "limits.events_per_player",
            "must allow the 500 events of one report",
        )?;
        rule(
            self.event_bytes_per_player.quota.get() as usize >= MAX_REPORT_BYTES,
            "limits.event_bytes_per_player",
            "must allow the 1048576 bytes of one report",
        )?;
        rule(
            self.stored_event_bytes_per_player.quota.get() as usize >= 2 * MAX_REPORT_BYTES,
            "limits.stored_event_bytes_per_player",
            "must allow 2097152 bytes, which one report can take up",
        )
    }
}

/// An origin whose pages may call the API (`https://game.example.com`), or `*` for all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebOrigin(String);

/// The text is not a valid [`WebOrigin`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be origins such as https://game.example.com, without a path, or *")]
pub struct WebOriginError;

impl WebOrigin {
    /// The origin as browsers send it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it stands for all origins.
    pub fn is_any(&self) -> bool {
        self.0 == "*"
    }
}

impl FromStr for WebOrigin {
    type Err = WebOriginError;

    fn from_str(text: &str) -> Result<Self, WebOriginError> {
        // Compared as text: another spelling of the same origin would never match.
        let exact = Url::parse(text).is_ok_and(|url| {
            matches!(url.scheme(), "http" | "https")
                && url.origin().ascii_serialization() == text
                && !text.contains('*')
        });
        if text == "*" || exact {
            Ok(Self(text.to_owned()))
        } else {
            Err(WebOriginError)
        }
    }
}

impl fmt::Display for WebOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for WebOrigin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_spelled_as_browsers_send_them() {
        for good in ["https://game.example.com", "http://localhost:5173", "*"] {
            assert_eq!(good.parse::<WebOrigin>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            "null",
            "game.example.com",
            "https://game.example.com/",
            "https://game.example.com/play",
            "https://game.example.com:443",
            "https://Game.example.com",
            "https://*.example.com",
            "https://user@game.example.com",
            "file:///index.html",
        ] {
            assert_eq!(bad.parse::<WebOrigin>(), Err(WebOriginError), "{bad}");
        }
    }
}
