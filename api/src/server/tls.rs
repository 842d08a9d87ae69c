//! TLS of the public listener, by rustls: a certificate and its key, which can be replaced while the
//! process runs. Reads no files.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use axum_server::tls_rustls::RustlsConfig;
use jiff::Timestamp;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use secrecy::{ExposeSecret, SecretString};

/// A certificate or key is unusable.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The text contains no certificate.
    #[error("tls_certificate: must be a certificate with its chain, PEM")]
    Certificate,
    /// The text contains no private key.
    #[error("tls_key: must be a private key, PEM (PKCS#8, PKCS#1 or SEC1)")]
    Key,
    /// They do not match, or are not supported.
    #[error("tls_certificate and tls_key: {0}")]
    Unusable(rustls::Error),
}

/// The current certificate. Clones share it.
#[derive(Clone)]
pub struct Tls {
    config: RustlsConfig,
    /// Unix seconds.
    expires: Arc<AtomicI64>,
}

impl Tls {
    /// Loads a certificate (the server's first, then its chain) and its key, both PEM.
    ///
    /// # Errors
    /// [`TlsError`] when they cannot be parsed or do not match.
    pub fn new(certificate: &SecretString, key: &SecretString) -> Result<Self, TlsError> {
        let (config, expires) = read(certificate, key)?;
        Ok(Self {
            config: RustlsConfig::from_config(config),
            expires: Arc::new(expires.as_second().into()),
        })
    }

    /// Replaces the certificate for new connections.
    ///
    /// # Errors
    /// [`TlsError`]; the certificate is unchanged then.
    pub fn exchange(&self, certificate: &SecretString, key: &SecretString) -> Result<(), TlsError> {
        let (config, expires) = read(certificate, key)?;
        self.config.reload_from_config(config);
        self.expires.store(expires.as_second(), Ordering::Relaxed);
        Ok(())
    }

    /// When the certificate expires.
    pub fn expires(&self) -> Timestamp {
        let seconds = self.expires.load(Ordering::Relaxed);
        Timestamp::from_second(seconds).unwrap_or_default()
    }

    pub(crate) fn config(&self) -> RustlsConfig {
        self.config.clone()
    }
}

fn read(
    certificate: &SecretString,
    key: &SecretString,
) -> Result<(Arc<ServerConfig>, Timestamp), TlsError> {
    let chain = CertificateDer::pem_slice_iter(certificate.expose_secret().as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .ok()
        .filter(|chain| !chain.is_empty())
        .ok_or(TlsError::Certificate)?;
    let expires = chain
        .first()
        .and_then(expiry)
        .ok_or(TlsError::Certificate)?;
    let key =
        PrivateKeyDer::from_pem_slice(key.expose_secret().as_bytes()).map_err(|_| TlsError::Key)?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|config| config.with_no_client_auth().with_single_cert(chain, key))
        .map_err(TlsError::Unusable)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok((Arc::new(config), expires))
}

fn expiry(certificate: &CertificateDer<'_>) -> Option<Timestamp> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()
}
