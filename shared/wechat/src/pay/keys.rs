//! The keys that WeChat signs with: its public key and all live certificates, picked by serial, so
//! that both modes, a rotation and the switch between the modes need no setting (§2.4).

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::signature::{ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256};
use jiff::Timestamp;

use super::verify::{SignatureHeaders, VerifyError};
use super::{PlatformCertificate, PlatformPublicKey, Serial};

const PEM_TAG: &str = "PUBLIC KEY";

/// A key of WeChat's that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPlatformKey {
    /// Not PEM, or PEM of something else; a certificate in place of a public key, for example.
    #[error("the platform key is not PEM of the right kind")]
    Pem,
    /// Not an X.509 certificate that can be read.
    #[error("the platform certificate cannot be read")]
    Certificate,
    /// Not an RSA key of at least 2048 bits.
    #[error("the platform key is not an RSA public key of at least 2048 bits")]
    Key,
}

/// What the door says of a callback. It asks nobody, so it can never be slow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DoorVerdict {
    /// WeChat sent exactly these bytes, just now.
    Verified,
    /// Nothing is wrong with it, but the key is not at hand: accept it and judge it later.
    UnknownSerial(Serial),
    /// Refuse it with 401.
    Refused(VerifyError),
}

/// One of WeChat's keys.
pub(super) struct VerifyingKey(ParsedPublicKey);

impl VerifyingKey {
    /// Takes a public key in DER (SPKI).
    pub(super) fn from_spki(der: &[u8]) -> Result<Self, InvalidPlatformKey> {
        ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, der)
            .map(Self)
            .map_err(|_| InvalidPlatformKey::Key)
    }

    fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), VerifyError> {
        self.0
            .verify_sig(message, signature)
            .map_err(|_| VerifyError::BadSignature)
    }
}

/// All keys of WeChat's that we hold.
pub struct KeyRing {
    public_key: Option<(Serial, VerifyingKey)>,
    certificates: RwLock<Certificates>,
}

type Certificates = HashMap<Serial, Arc<PlatformCertificate>>;

impl KeyRing {
    /// A ring with the public key, if there is one, and no certificates yet.
    ///
    /// # Errors
    /// When the public key cannot be used.
    pub fn new(public_key: Option<&PlatformPublicKey>) -> Result<Self, InvalidPlatformKey> {
        let public_key = match public_key {
            None => None,
            Some(key) => {
                let block = pem::parse(&key.pem).map_err(|_| InvalidPlatformKey::Pem)?;
                if block.tag() != PEM_TAG {
                    return Err(InvalidPlatformKey::Pem);
                }
                Some((key.id.clone(), VerifyingKey::from_spki(block.contents())?))
            }
        };
        Ok(Self {
            public_key,
            certificates: RwLock::default(),
        })
    }

    /// Adds certificates. Those that it had stay until they expire, since both sign during a rotation.
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

    /// Whether WeChat sent exactly this body, and not long before or after `now` (§2.3).
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

    /// [`Self::verify`] with more certificates than those in the ring.
    pub(super) fn verify_with(
        &self,
        more: &[PlatformCertificate],
        headers: &SignatureHeaders,
        body: &[u8],
        now: Timestamp,
    ) -> Result<(), VerifyError> {
        let signed = headers.check(body, now)?;
        let by = |key: &VerifyingKey| key.verify(&signed.message, &signed.signature);
        if let Some((id, key)) = &self.public_key
            && *id == signed.serial
        {
            return by(key);
        }
        // A certificate that is not in force yet verifies too: it came from WeChat like the others.
        let held = self.held().get(&signed.serial).cloned();
        let more = more.iter().find(|it| it.serial == signed.serial);
        let live = |certificate: &&PlatformCertificate| !certificate.is_expired(now);
        match held.as_deref().filter(live).or(more.filter(live)) {
            Some(certificate) => by(&certificate.key),
            None => Err(VerifyError::UnknownSerial(signed.serial)),
        }
    }

    /// [`Self::verify`] for the acknowledging path of a callback.
    pub fn check_door(
        &self,
        headers: &SignatureHeaders,
        body: &[u8],
        now: Timestamp,
    ) -> DoorVerdict {
        match self.verify(headers, body, now) {
            Ok(()) => DoorVerdict::Verified,
            Err(VerifyError::UnknownSerial(serial)) => DoorVerdict::UnknownSerial(serial),
            Err(error) => DoorVerdict::Refused(error),
        }
    }

    /// The ids of all keys in the ring.
    pub fn known_serials(&self) -> Vec<Serial> {
        let public = self.public_key.iter().map(|(id, _)| id.clone());
        public.chain(self.held().keys().cloned()).collect()
    }

    /// The certificates in the ring, for watching when they expire.
    pub fn certificates(&self) -> Vec<Arc<PlatformCertificate>> {
        self.held().values().cloned().collect()
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
