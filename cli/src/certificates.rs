//! The certificate of the public listener: read at the start, and again on SIGHUP, so that a renewed
//! one needs no restart.

use std::path::PathBuf;

use crate::config::{Config, Role, process_env};
use avalon_api::Tls;
use avalon_wechat::WechatMetrics;
use tokio::signal::unix::{SignalKind, signal};

use crate::failure::Failure;

/// TLS as configured; none: plain HTTP.
pub(crate) fn tls(config: &Config) -> Result<Option<Tls>, Failure> {
    let (certificate, key) = (&config.http.tls_certificate, &config.http.tls_key);
    let (Some(certificate), Some(key)) = (certificate, key) else {
        return Ok(None);
    };
    Ok(Some(Tls::new(certificate, key)?))
}

/// On SIGHUP takes the certificate from the configuration as it is now. One that is of no use is told
/// and changes nothing.
pub(crate) fn renew_on_hangup(
    tls: Tls,
    file: Option<PathBuf>,
    role: Role,
    metrics: WechatMetrics,
) -> std::io::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    metrics.certificate("tls", tls.expires());
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            match renew(&tls, file.clone(), role).await {
                Ok(()) => {
                    metrics.certificate("tls", tls.expires());
                    tracing::info!("the certificate was read again");
                }
                Err(error) => tracing::error!(%error, "the certificate stays as it was"),
            }
        }
    });
    Ok(())
}

async fn renew(tls: &Tls, file: Option<PathBuf>, role: Role) -> Result<(), Failure> {
    // Reads files.
    let load = move || Config::load(file.as_deref(), process_env(), role);
    let config = tokio::task::spawn_blocking(load)
        .await
        .map_err(std::io::Error::other)??;
    let (certificate, key) = (&config.http.tls_certificate, &config.http.tls_key);
    let (Some(certificate), Some(key)) = (certificate, key) else {
        return Err(Failure::Setting {
            key: "http.tls_certificate",
            problem: "can't be taken away while running".to_owned(),
        });
    };
    Ok(tls.exchange(certificate, key)?)
}
