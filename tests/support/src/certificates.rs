//! Certificates for one test, generated each time: a private certificate authority and a server certificate
//! for localhost.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

/// A certificate authority and a server certificate, PEM.
pub struct TestCertificates {
    /// The authority's certificate; clients that trust it trust the server.
    pub authority: String,
    /// The server's certificate, for 127.0.0.1 and localhost.
    pub certificate: String,
    /// The server's private key.
    pub key: String,
}

impl TestCertificates {
    /// Generates both.
    pub fn make() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let authority = CertifiedIssuer::self_signed(params, key).expect("an authority");
        let names = ["127.0.0.1", "localhost"].map(str::to_owned);
        let params = CertificateParams::new(names).expect("names of this machine");
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &authority).expect("a certificate");
        Self {
            authority: authority.pem(),
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }

    /// Writes `authority.pem`, `certificate.pem` and `key.pem` into a folder; returns their paths.
    pub fn write(&self, folder: &Path) -> [PathBuf; 3] {
        [
            ("authority.pem", &self.authority),
            ("certificate.pem", &self.certificate),
            ("key.pem", &self.key),
        ]
        .map(|(name, text)| {
            let path = folder.join(name);
            std::fs::write(&path, text).expect("write a PEM file");
            path
        })
    }
}
