//! Logging of the process and the export of its spans by OTLP, set up once at start-up from `log.*` and
//! `telemetry.*`. Metrics are elsewhere.
//!
//! Logs always go to standard error, as text or JSON: standard output belongs to what a command
//! prints (the banner of `dev`, `jobs list`, `openapi`).

use std::io::{BufWriter, IsTerminal, stderr};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tracing::{Level, Subscriber};
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::{
    EnvFilter, Layer, Registry, fmt, layer::SubscriberExt, reload, util::SubscriberInitExt,
};

use avalon_api::ops::{LogHandle, LogLevelError};

use crate::config::{LogConfig, LogFormat, Role, TelemetryConfig};

/// Timeout of one export; its batch of spans is lost.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);
/// Timeout of the last export, which delays the end of the process.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TelemetryError {
    /// The filter's directives are invalid.
    #[error("not a log filter: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// The process already has a global subscriber.
    #[error("logging was set up before")]
    AlreadySet(#[from] tracing_subscriber::util::TryInitError),
    /// The exporter of spans could not be created.
    #[error("telemetry.otlp_endpoint: {0}")]
    Exporter(#[from] ExporterBuildError),
}

fn log_handle(filter: reload::Handle<EnvFilter, Registry>) -> LogHandle {
    LogHandle::new(move |directives| {
        let new =
            parse_filter(directives).map_err(|error| LogLevelError::Invalid(error.to_string()))?;
        filter
            .reload(new)
            .map_err(|error| LogLevelError::Unavailable(error.to_string()))
    })
}

/// Logging and the export of spans, as set up.
pub(crate) struct Telemetry {
    /// Changes the log level.
    pub(crate) log: LogHandle,
    spans: Option<SdkTracerProvider>,
    /// Writes the last lines when it is dropped.
    lines: WorkerGuard,
}

impl Telemetry {
    /// Exports the last spans and writes the last lines. Blocks for up to [`FLUSH_TIMEOUT`]; call it outside of the
    /// runtime.
    pub(crate) fn finish(self) {
        if let Some(spans) = self.spans
            && let Err(error) = spans.shutdown_with_timeout(FLUSH_TIMEOUT)
        {
            tracing::warn!(%error, "the last spans were not exported");
        }
        drop(self.lines);
    }
}

/// Starts logging for this process, and the export of spans if a collector is configured.
///
/// # Errors
/// When the level is invalid, the collector's address is unusable, or logging was already set up.
pub(crate) fn init(
    log: &LogConfig,
    telemetry: &TelemetryConfig,
    role: Role,
) -> Result<Telemetry, TelemetryError> {
    let spans = exporter(telemetry, role)?;
    let (writer, lines) = lines();
    let (subscriber, log) = subscriber(log, role, spans.as_ref(), writer)?;
    subscriber.try_init()?;
    Ok(Telemetry { log, spans, lines })
}

/// Standard error, written by a thread of its own: what many requests log becomes one system call. None is
/// dropped; a reader that is too slow delays those who log.
fn lines() -> (NonBlocking, WorkerGuard) {
    NonBlockingBuilder::default()
        .lossy(false)
        .thread_name("log")
        .finish(BufWriter::new(stderr()))
}

/// Creates the exporter, which sends from its own thread; none without a collector.
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
        // By the trace's id alone: all processes decide alike, and a client's sampling flag is ignored.
        .with_sampler(Sampler::TraceIdRatioBased(config.sample_ratio))
        .with_batch_exporter(exporter)
        .build();
    Ok(Some(spans))
}

fn subscriber(
    config: &LogConfig,
    role: Role,
    spans: Option<&SdkTracerProvider>,
    writer: NonBlocking,
) -> Result<(impl Subscriber + Send + Sync, LogHandle), TelemetryError> {
    let exported = spans.map(|spans| {
        tracing_opentelemetry::layer()
            .with_tracer(spans.tracer("avalon-wx"))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            // Our own spans, independently of the log level.
            .with_filter(Targets::new().with_target("avalon", Level::INFO))
    });
    let (filter, handle) = reload::Layer::new(parse_filter(&config.level)?);
    let output = match config.format(role) {
        LogFormat::Text => {
            // https://no-color.org is respected.
            let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
            let ansi = wanted && stderr().is_terminal();
            fmt::layer().with_writer(writer).with_ansi(ansi).boxed()
        }
        LogFormat::Json => fmt::layer()
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .with_writer(writer)
            .boxed(),
    };
    Ok((
        tracing_subscriber::registry()
            .with(output.with_filter(filter))
            .with(exported),
        log_handle(handle),
    ))
}

/// Parses filter directives strictly: a typing error must not silence the logs.
pub(crate) fn parse_filter(
    directives: &str,
) -> Result<EnvFilter, tracing_subscriber::filter::ParseError> {
    EnvFilter::builder().parse(directives)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_filters_are_rejected() {
        assert!(parse_filter("info,avalon_queue=debug,sqlx=warn").is_ok());
        assert!(parse_filter("info,avalon_queue=loud").is_err());
    }

    #[test]
    fn level_can_be_changed_while_running() {
        let config = LogConfig {
            level: "warn".to_owned(),
            ..LogConfig::default()
        };
        let (writer, _lines) = lines();
        let (subscriber, handle) = subscriber(&config, Role::All, None, writer).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            assert!(!tracing::enabled!(tracing::Level::INFO));
            assert!(handle.set_level("not=a=filter").is_err());
            handle.set_level("info").unwrap();
            assert!(tracing::enabled!(tracing::Level::INFO));
        });
    }
}
