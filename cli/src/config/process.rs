//! Settings of the process itself: `log`, `telemetry` and `simulator`.

use std::net::{Ipv4Addr, SocketAddr};

use avalon_config::{HttpUrl, Violation, rule, text};
use serde::{Deserialize, Serialize};

use super::Role;
use crate::telemetry::parse_filter;

/// `log`: logging.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub struct LogConfig {
    /// Format of a line. See [`LogConfig::format`] for the default.
    pub format: Option<LogFormat>,
    /// Filter directives such as `info,avalon_queue=debug`.
    pub level: String,
}

/// Format of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Human-readable text.
    Text,
    /// One JSON object per line.
    Json,
}

impl LogConfig {
    /// The format: as configured, else text in `dev` and JSON elsewhere.
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
            // sqlx logs each table that exists already.
            level: "info,sqlx=warn".to_owned(),
        }
    }
}

impl LogConfig {
    /// Checks the section's own rules.
    ///
    /// # Errors
    /// The first [`Violation`].
    pub fn check(&self) -> Result<(), Violation> {
        rule(
            parse_filter(&self.level).is_ok(),
            "log.level",
            "must be a level (error, warn, info, debug, trace) or directives such as info,sqlx=warn",
        )
    }
}

/// `telemetry`: the export of traces.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub struct TelemetryConfig {
    /// Base URL of an OpenTelemetry collector, OTLP over HTTP (`/v1/traces` is appended); unset: no
    /// export.
    #[serde(deserialize_with = "text::optional")]
    pub otlp_endpoint: Option<HttpUrl>,
    /// Name of this service in traces.
    pub service_name: String,
    /// Fraction of traces that is exported, 0 to 1.
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

impl TelemetryConfig {
    /// Checks the section's own rules.
    ///
    /// # Errors
    /// The first [`Violation`].
    pub fn check(&self) -> Result<(), Violation> {
        rule(
            !self.service_name.is_empty(),
            "telemetry.service_name",
            "must not be empty",
        )?;
        rule(
            (0.0..=1.0).contains(&self.sample_ratio),
            "telemetry.sample_ratio",
            "must be between 0.0 and 1.0",
        )
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
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8090)),
        }
    }
}
