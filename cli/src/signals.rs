//! SIGTERM and Ctrl-C: the first asks for an orderly stop, the second ends the program at once. SIGHUP:
//! the log level is read again.

use std::path::PathBuf;

use crate::config::{Config, Role, process_env};
use avalon_api::ops::LogHandle;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Cancelled when the program is asked to stop.
pub(crate) fn stop_on_signals() -> std::io::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stopping = stop.clone();
    tokio::spawn(async move {
        let mut asked = false;
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if asked {
                tracing::warn!("asked twice to stop: ending at once");
                std::process::exit(130);
            }
            asked = true;
            tracing::info!("stopping");
            stopping.cancel();
        }
    });
    Ok(stop)
}

/// How logging can be changed while the process runs.
pub(crate) struct Logging {
    /// Changes the level.
    pub(crate) handle: LogHandle,
    /// The configuration's file, to be read again.
    pub(crate) config: Option<PathBuf>,
}

/// On SIGHUP, takes `log.level` from the configuration as it is now. Nothing else changes, and a
/// configuration that is wrong changes nothing.
pub(crate) fn reload_on_hangup(log: Logging, role: Role) -> std::io::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            let config = match Config::load(log.config.as_deref(), process_env(), role) {
                Ok(config) => config,
                Err(error) => {
                    tracing::error!(%error, "the log level stays as it is");
                    continue;
                }
            };
            let level = config.log.level;
            match log.handle.set_level(&level) {
                Ok(()) => tracing::warn!(level, "the log level was read again"),
                Err(error) => tracing::error!(%error, "the log level stays as it is"),
            }
        }
    });
    Ok(())
}
