//! Logging of the whole process, and the export of its spans by OTLP where that is configured: set up
//! once, at the start, from `log.*` and `telemetry.*`. Metrics are elsewhere.
//!
//! Logs always go to standard error, as text or JSON: standard output belongs to what a command
//! prints (the banner of `dev`, `jobs list`, `openapi`).

use std::io::{IsTerminal, stderr};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tracing::{Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::{
    EnvFilter, Layer, Registry, fmt, layer::SubscriberExt, reload, util::SubscriberInitExt,
};

use crate::config::{LogConfig, LogFormat, Role, TelemetryConfig};

/// A collector that takes longer than this loses a batch of spans.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the end of the process waits for the last spans to be exported.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// Why logging could not be set up or changed.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is not what `tracing-subscriber` reads.
    #[error("not a log filter: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Something else in this process logs already.
    #[error("logging was set up before")]
    AlreadySet(#[from] tracing_subscriber::util::TryInitError),
    /// The exporter of spans could not be made.
    #[error("telemetry.otlp_endpoint: {0}")]
    Exporter(#[from] ExporterBuildError),
    /// The subscriber is gone.
    #[error("logging can no longer be changed")]
    Gone(#[from] reload::Error),
}

/// Changes the log level of the running process.
#[derive(Clone)]
pub struct LogHandle(reload::Handle<EnvFilter, Registry>);

impl LogHandle {
    /// Filters by these directives from now on, such as `info,avalon_queue=debug`.
    ///
    /// # Errors
    /// [`TelemetryError::Filter`] when they can't be read: nothing changes then.
    pub fn set_level(&self, directives: &str) -> Result<(), TelemetryError> {
        Ok(self.0.reload(parse_filter(directives)?)?)
    }
}

/// What was set up.
pub struct Telemetry {
    /// Changes the log level.
    pub log: LogHandle,
    spans: Option<SdkTracerProvider>,
}

impl Telemetry {
    /// Exports the last spans. Blocks for some seconds at most; call it outside of the runtime.
    pub fn finish(self) {
        let Some(spans) = self.spans else { return };
        if let Err(error) = spans.shutdown_with_timeout(FLUSH_TIMEOUT) {
            tracing::warn!(%error, "the last spans were not exported");
        }
    }
}

/// Starts logging for this process, and the export of spans when a collector is configured.
///
/// # Errors
/// When the level can't be read, the collector's address can't be used, or logging was set up before.
pub fn init(
    log: &LogConfig,
    telemetry: &TelemetryConfig,
    role: Role,
) -> Result<Telemetry, TelemetryError> {
    let spans = exporter(telemetry, role)?;
    let (subscriber, log) = subscriber(log, role, spans.as_ref())?;
    subscriber.try_init()?;
    Ok(Telemetry { log, spans })
}

/// Sends spans by OTLP over HTTP, from a thread of its own; none when no collector is configured.
fn exporter(
    config: &TelemetryConfig,
    role: Role,
) -> Result<Option<SdkTracerProvider>, ExporterBuildError> {
    let Some(endpoint) = &config.otlp_endpoint else {
        return Ok(None);
    };
    let exporter = SpanExporter::builder()
        .with_http()
        .with_endpoint(format!("{}/v1/traces", endpoint.as_str()))
        .with_timeout(EXPORT_TIMEOUT)
        .build()?;
    let resource = Resource::builder()
        .with_service_name(config.service_name.clone())
        .with_attributes([
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("avalon.role", role.to_string()),
        ])
        .build();
    let spans = SdkTracerProvider::builder()
        .with_resource(resource)
        // By the trace's id alone: all processes decide alike, and a client that says that it samples
        // does not decide for us.
        .with_sampler(Sampler::TraceIdRatioBased(config.sample_ratio))
        .with_batch_exporter(exporter)
        .build();
    Ok(Some(spans))
}

fn subscriber(
    config: &LogConfig,
    role: Role,
    spans: Option<&SdkTracerProvider>,
) -> Result<(impl Subscriber + Send + Sync, LogHandle), TelemetryError> {
    let exported = spans.map(|spans| {
        tracing_opentelemetry::layer()
            .with_tracer(spans.tracer("avalon-wx"))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            // Our own spans, whatever the log level is.
            .with_filter(Targets::new().with_target("avalon", Level::INFO))
    });
    let (filter, handle) = reload::Layer::new(parse_filter(&config.level)?);
    let output = match config.format(role) {
        LogFormat::Text => {
            // Colours are for people who look on; https://no-color.org is respected.
            let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
            let ansi = wanted && stderr().is_terminal();
            fmt::layer().with_writer(stderr).with_ansi(ansi).boxed()
        }
        LogFormat::Json => fmt::layer()
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .with_writer(stderr)
            .boxed(),
    };
    Ok((
        tracing_subscriber::registry()
            .with(output.with_filter(filter))
            .with(exported),
        LogHandle(handle),
    ))
}

/// Reads filter directives strictly: a typing error must not silence the logs.
pub(crate) fn parse_filter(
    directives: &str,
) -> Result<EnvFilter, tracing_subscriber::filter::ParseError> {
    EnvFilter::builder().parse(directives)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_filter_is_refused() {
        assert!(parse_filter("info,avalon_queue=debug,sqlx=warn").is_ok());
        assert!(parse_filter("info,avalon_queue=loud").is_err());
    }

    #[test]
    fn the_level_can_be_changed_while_running() {
        let config = LogConfig {
            level: "warn".to_owned(),
            ..LogConfig::default()
        };
        let (subscriber, handle) = subscriber(&config, Role::All, None).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            assert!(!tracing::enabled!(tracing::Level::INFO));
            assert!(handle.set_level("not=a=filter").is_err());
            handle.set_level("info").unwrap();
            assert!(tracing::enabled!(tracing::Level::INFO));
        });
    }
}
