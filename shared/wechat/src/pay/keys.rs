//! The keys that WeChat signs with: its public key and all valid certificates, selected by serial.
//! Both modes, rotation and switching between the modes therefore need no configuration (§2.4).

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::rsa::{OAEP_SHA1_MGF1SHA1, OaepPublicEncryptingKey, PublicEncryptingKey};
use aws_lc_rs::signature::{ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;

use super::verify::{SignatureHeaders, VerifyError};
use super::{PlatformCertificate, PlatformPublicKey, Serial};

const PEM_TAG: &str = "PUBLIC KEY";

/// Reason why one of WeChat's keys is unusable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPlatformKey {
    /// Not PEM, or PEM of another kind, such as a certificate instead of a public key.
    #[error("the platform key is not PEM of the right kind")]
    Pem,
    /// Not a parsable X.509 certificate.
    #[error("the platform certificate cannot be read")]
    Certificate,
    /// Not an RSA key of at least 2048 bits.
    #[error("the platform key is not an RSA public key of at least 2048 bits")]
    Key,
}

/// Result of checking a callback on receipt. Reached without I/O, so acknowledging is never delayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallbackVerdict {
    /// Signature and timestamp are valid.
    Verified,
    /// Well-formed and plausible, but the key is unknown: accept the callback and verify it later.
    UnknownSerial(Serial),
    /// Invalid: reject it with 401.
    Rejected(VerifyError),
}

/// A public key of WeChat: verifies what WeChat signs, and encrypts what only WeChat may read.
pub(super) struct PlatformKey {
    verifying: ParsedPublicKey,
    encrypting: OaepPublicEncryptingKey,
}

impl PlatformKey {
    /// Parses a public key in DER (SPKI).
    pub(super) fn from_spki(der: &[u8]) -> Result<Self, InvalidPlatformKey> {
        let verifying = ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, der)
            .map_err(|_| InvalidPlatformKey::Key)?;
        let encrypting = PublicEncryptingKey::from_der(der)
            .map_err(|_| InvalidPlatformKey::Key)
            .and_then(|key| {
                OaepPublicEncryptingKey::new(key).map_err(|_| InvalidPlatformKey::Key)
            })?;
        Ok(Self {
            verifying,
            encrypting,
        })
    }

    /// Encrypts a field of a request (RSA-OAEP with SHA-1, base64); none if the library fails, for
    /// example because the text is longer than 214 bytes.
    fn encrypt(&self, text: &str) -> Option<String> {
        let mut ciphertext = vec![0; self.encrypting.ciphertext_size()];
        self.encrypting
            .encrypt(&OAEP_SHA1_MGF1SHA1, text.as_bytes(), &mut ciphertext, None)
            .ok()
            .map(|ciphertext| BASE64_STANDARD.encode(ciphertext))
    }

    fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), VerifyError> {
        self.verifying
            .verify_sig(message, signature)
            .map_err(|_| VerifyError::BadSignature)
    }
}

/// All known keys of WeChat.
pub struct KeyRing {
    public_key: Option<(Serial, PlatformKey)>,
    certificates: RwLock<Certificates>,
}

type Certificates = HashMap<Serial, Arc<PlatformCertificate>>;

impl KeyRing {
    /// Creates a ring with the public key, if any, and no certificates.
    ///
    /// # Errors
    /// When the public key is unusable.
    pub fn new(public_key: Option<&PlatformPublicKey>) -> Result<Self, InvalidPlatformKey> {
        let public_key = match public_key {
            None => None,
            Some(key) => {
                let block = pem::parse(&key.pem).map_err(|_| InvalidPlatformKey::Pem)?;
                if block.tag() != PEM_TAG {
                    return Err(InvalidPlatformKey::Pem);
                }
                Some((key.id.clone(), PlatformKey::from_spki(block.contents())?))
            }
        };
        Ok(Self {
            public_key,
            certificates: RwLock::default(),
        })
    }

    /// Adds certificates. Existing ones remain until they expire, since both sign during a rotation.
    pub fn install(&self, certificates: Vec<PlatformCertificate>, now: Timestamp) {
        let mut held = self
            .certificates
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        for certificate in certificates {
            held.insert(certificate.serial.clone(), Arc::new(certificate));
        }
        held.retain(|_, certificate| !certificate.is_expired(now));
    }

    /// Verifies that WeChat signed exactly this body close to `now` (§2.3).
    ///
    /// # Errors
    /// The first check that failed.
    pub fn verify(
        &self,
        headers: &SignatureHeaders,
        body: &[u8],
        now: Timestamp,
    ) -> Result<(), VerifyError> {
        self.verify_with(&[], headers, body, now)
    }

    /// [`Self::verify`] with additional certificates that are not in the ring.
    pub(super) fn verify_with(
        &self,
        additional: &[PlatformCertificate],
        headers: &SignatureHeaders,
        body: &[u8],
        now: Timestamp,
    ) -> Result<(), VerifyError> {
        let signed = headers.check(body, now)?;
        let by = |key: &PlatformKey| key.verify(&signed.message, &signed.signature);
        if let Some((id, key)) = &self.public_key
            && *id == signed.serial
        {
            return by(key);
        }
        // A certificate that is not effective yet is accepted: it came from WeChat like the others.
        let held = self.held().get(&signed.serial).cloned();
        let additional = additional.iter().find(|it| it.serial == signed.serial);
        let live = |certificate: &&PlatformCertificate| !certificate.is_expired(now);
        match held.as_deref().filter(live).or(additional.filter(live)) {
            Some(certificate) => by(&certificate.key),
            None => Err(VerifyError::UnknownSerial(signed.serial)),
        }
    }

    /// Checks a callback on receipt, where an unknown serial is not an error.
    pub fn check_callback(
        &self,
        headers: &SignatureHeaders,
        body: &[u8],
        now: Timestamp,
    ) -> CallbackVerdict {
        match self.verify(headers, body, now) {
            Ok(()) => CallbackVerdict::Verified,
            Err(VerifyError::UnknownSerial(serial)) => match headers.implausible() {
                Some(header) => CallbackVerdict::Rejected(VerifyError::Implausible(header)),
                None => CallbackVerdict::UnknownSerial(serial),
            },
            Err(error) => CallbackVerdict::Rejected(error),
        }
    }

    /// Returns the ids of all keys in the ring.
    pub fn known_serials(&self) -> Vec<Serial> {
        let public = self.public_key.iter().map(|(id, _)| id.clone());
        public.chain(self.held().keys().cloned()).collect()
    }

    /// Returns the certificates in the ring, for monitoring their expiry.
    pub fn certificates(&self) -> Vec<Arc<PlatformCertificate>> {
        self.held().values().cloned().collect()
    }

    /// Encrypts fields of one request with the public key or else the newest certificate in effect.
    /// Returns the key's serial, which the request must name, and the fields in order; none without a
    /// usable key.
    pub(super) fn encrypt<const N: usize>(
        &self,
        fields: [&str; N],
        now: Timestamp,
    ) -> Option<(Serial, [String; N])> {
        let encrypted = |key: &PlatformKey| {
            let fields: Option<Vec<_>> = fields.iter().map(|text| key.encrypt(text)).collect();
            <[String; N]>::try_from(fields?).ok()
        };
        if let Some((id, key)) = &self.public_key {
            return Some((id.clone(), encrypted(key)?));
        }
        let certificates = self.certificates();
        let in_effect = |it: &&Arc<PlatformCertificate>| {
            !it.is_expired(now) && it.effective.is_none_or(|effective| effective <= now)
        };
        let newest = certificates
            .iter()
            .filter(in_effect)
            .max_by_key(|it| it.effective)?;
        Some((newest.serial.clone(), encrypted(&newest.key)?))
    }

    pub(super) fn knows(&self, serial: &Serial) -> bool {
        self.public_key_id() == Some(serial) || self.held().contains_key(serial)
    }

    pub(super) fn public_key_id(&self) -> Option<&Serial> {
        self.public_key.as_ref().map(|(id, _)| id)
    }

    fn held(&self) -> std::sync::RwLockReadGuard<'_, Certificates> {
        self.certificates
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeyRing")
            .field(&self.known_serials())
            .finish()
    }
}
