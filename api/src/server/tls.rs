//! TLS of the public listener, by rustls: a certificate and its key, which can be exchanged while the
//! process runs. Nothing is read from files here.

use std::sync::Arc;

use jiff::Timestamp;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

/// A certificate or a key is of no use.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// There is no certificate in the text.
    #[error("tls_certificate: must be a certificate with its chain, PEM")]
    Certificate,
    /// There is no private key in the text.
    #[error("tls_key: must be a private key, PEM (PKCS#8, PKCS#1 or SEC1)")]
    Key,
    /// They don't fit each other, or can't be used.
    #[error("tls_certificate and tls_key: {0}")]
    Unusable(rustls::Error),
}

/// How TLS is spoken from now on. Clones share it.
#[derive(Clone)]
pub struct Tls(Arc<watch::Sender<Current>>);

#[derive(Clone)]
struct Current {
    config: Arc<ServerConfig>,
    expires: Timestamp,
}

impl Tls {
    /// Speaks TLS with this certificate (the server's first, then its chain) and its key, both PEM.
    ///
    /// # Errors
    /// [`TlsError`] when they can't be read or don't fit each other.
    pub fn new(certificate: &SecretString, key: &SecretString) -> Result<Self, TlsError> {
        let (current, _) = watch::channel(read(certificate, key)?);
        Ok(Self(Arc::new(current)))
    }

    /// Uses another certificate for new connections; those that are open keep the one they have.
    ///
    /// # Errors
    /// [`TlsError`]; nothing has changed then.
    pub fn exchange(&self, certificate: &SecretString, key: &SecretString) -> Result<(), TlsError> {
        self.0.send_replace(read(certificate, key)?);
        Ok(())
    }

    /// When the server's certificate expires.
    pub fn expires(&self) -> Timestamp {
        self.0.borrow().expires
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.0.borrow().config))
    }
}

fn read(certificate: &SecretString, key: &SecretString) -> Result<Current, TlsError> {
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
    let config = Arc::new(config);
    Ok(Current { config, expires })
}

fn expiry(certificate: &CertificateDer<'_>) -> Option<Timestamp> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()
}
