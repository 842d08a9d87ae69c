//! SIGTERM and Ctrl-C: the first starts a graceful shutdown, the second ends the program at once. SIGHUP
//! reloads the log level.

use std::path::PathBuf;

use crate::config::{Config, Role, process_env};
use avalon_api::ops::LogHandle;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Returns a token that is cancelled by the first signal.
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
                tracing::warn!("second signal received, exiting immediately");
                std::process::exit(130);
            }
            asked = true;
            tracing::info!("stopping");
            stopping.cancel();
        }
    });
    Ok(stop)
}

/// Access to logging while the process runs.
pub(crate) struct Logging {
    /// Changes the level.
    pub(crate) handle: LogHandle,
    /// The configuration file to reload.
    pub(crate) config: Option<PathBuf>,
}

/// Reloads `log.level` from the configuration on SIGHUP. Nothing else changes; an invalid configuration is
/// ignored.
pub(crate) fn reload_on_hangup(log: Logging, role: Role) -> std::io::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            let config = match Config::load(log.config.as_deref(), process_env(), role) {
                Ok(config) => config,
                Err(error) => {
                    tracing::error!(%error, "reloading the log level failed");
                    continue;
                }
            };
            let level = config.log.level;
            match log.handle.set_level(&level) {
                Ok(()) => tracing::warn!(level, "log level reloaded"),
                Err(error) => tracing::error!(%error, "reloading the log level failed"),
            }
        }
    });
    Ok(())
}
