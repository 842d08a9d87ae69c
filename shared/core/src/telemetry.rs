//! Logging of the whole process: set up once, at the start, from `log.*`. Metrics are elsewhere,
//! and spans are not exported yet.
//!
//! Logs always go to standard error, as text or JSON: standard output belongs to what a command
//! prints (the banner of `dev`, `jobs list`, `openapi`).

use std::io::{IsTerminal, stderr};

use tracing::Subscriber;
use tracing_subscriber::{
    EnvFilter, Layer, Registry, fmt, layer::SubscriberExt, reload, util::SubscriberInitExt,
};

use crate::config::{LogConfig, LogFormat, Role};

/// Why logging could not be set up or changed.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is not what `tracing-subscriber` reads.
    #[error("not a log filter: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Something else in this process logs already.
    #[error("logging was set up before")]
    AlreadySet(#[from] tracing_subscriber::util::TryInitError),
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

/// Starts logging for this process.
///
/// # Errors
/// When the level can't be read or logging was set up before.
pub fn init(config: &LogConfig, role: Role) -> Result<LogHandle, TelemetryError> {
    let (subscriber, handle) = subscriber(config, role)?;
    subscriber.try_init()?;
    Ok(handle)
}

fn subscriber(
    config: &LogConfig,
    role: Role,
) -> Result<(impl Subscriber + Send + Sync, LogHandle), TelemetryError> {
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
        tracing_subscriber::registry().with(filter).with(output),
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
        let (subscriber, handle) = subscriber(&config, Role::All).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            assert!(!tracing::enabled!(tracing::Level::INFO));
            assert!(handle.set_level("not=a=filter").is_err());
            handle.set_level("info").unwrap();
            assert!(tracing::enabled!(tracing::Level::INFO));
        });
    }
}
