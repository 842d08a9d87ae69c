//! The keys of one comparison. The platform's is generated, since a private key in the repository would be
//! reported by scanners. The merchant is the simulator's.

use std::path::{Path, PathBuf};

use avalon_simulator::PayCredentials;
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::Outcome;

/// The platform's key, with which callbacks and WeChat's responses are signed.
pub(crate) struct PlatformKey(KeyPair);

impl PlatformKey {
    /// Reads a key that [`KeyFiles::create`] has written.
    pub(crate) fn read(path: &Path) -> Outcome<Self> {
        let pem = pem::parse(std::fs::read(path)?)?;
        Ok(Self(KeyPair::from_pkcs8(pem.contents())?))
    }

    /// Signs a message with these headers; returns the signature in base64.
    pub(crate) fn sign(&self, timestamp: &str, nonce: &str, body: &str) -> Outcome<String> {
        let message = format!("{timestamp}\n{nonce}\n{body}\n");
        let mut signature = vec![0; self.0.public_modulus_len()];
        let random = SystemRandom::new();
        self.0
            .sign(
                &RSA_PKCS1_SHA256,
                &random,
                message.as_bytes(),
                &mut signature,
            )
            .map_err(|_| "RSA cannot sign")?;
        Ok(BASE64_STANDARD.encode(signature))
    }
}

/// Key files in a temporary folder, for processes that read keys from files.
pub(crate) struct KeyFiles {
    pub(crate) platform: PathBuf,
    pub(crate) platform_public: PathBuf,
    pub(crate) merchant: PathBuf,
}

impl KeyFiles {
    /// Generates the platform's key and writes all keys to `folder`.
    pub(crate) fn create(folder: &Path) -> Outcome<Self> {
        let pair = KeyPair::generate(KeySize::Rsa2048).map_err(|_| "RSA cannot generate a key")?;
        let private: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| "RSA cannot encode a key")?;
        let public: PublicKeyX509Der<'_> = pair
            .public_key()
            .as_der()
            .map_err(|_| "RSA cannot encode a key")?;
        let files = Self {
            platform: folder.join("platform.pem"),
            platform_public: folder.join("platform_public.pem"),
            merchant: folder.join("merchant.pem"),
        };
        let pem = |tag: &str, der: &[u8]| pem::encode(&pem::Pem::new(tag, der));
        std::fs::write(&files.platform, pem("PRIVATE KEY", private.as_ref()))?;
        std::fs::write(&files.platform_public, pem("PUBLIC KEY", public.as_ref()))?;
        std::fs::write(&files.merchant, PayCredentials::TEST.merchant_key)?;
        Ok(files)
    }
}
