//! Credentials of a session and their stored forms: refresh tokens as digests, the signing key sealed.

use std::fmt;

use aws_lc_rs::{constant_time, digest, rand};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::base::ids::{SessionId, UserId};
use crate::storage::keyring::{Derived, Keyring, KeyringError, Sealed};

/// The system's random number generator failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system's random number generator failed")]
pub struct NoRandomness;

/// Random bytes that all refresh tokens of a session share.
const FAMILY: usize = 16;
/// Random bytes of each token.
const OWN: usize = 32;

/// A refresh token: player, session, random bytes that are the same for the whole session, and random
/// bytes of its own. A token with the right first and not the latest second bytes was used before,
/// however long ago. Opaque to clients.
pub(super) struct RefreshToken {
    pub(super) user: UserId,
    pub(super) session: SessionId,
    family: SecretSlice<u8>,
    text: SecretString,
}

impl RefreshToken {
    /// Generates the first token of a session.
    pub(super) fn generate(user: UserId, session: SessionId) -> Result<Self, NoRandomness> {
        let (family, own) = (random::<FAMILY>()?, random::<OWN>()?);
        Ok(Self::of_family(user, session, &family, &own))
    }

    /// Derives the successor of this token: whoever presents this one again, at any process, gets the same.
    /// Without the keyring it cannot be computed: a spent token must not lead to the valid one.
    pub(super) fn successors(&self, keyring: &Keyring) -> Successors {
        let context = [b"sessions.refresh_token:", self.expose().as_bytes()].concat();
        let of = |own: &SecretSlice<u8>| {
            let family = self.family.expose_secret();
            Self::of_family(self.user, self.session, family, own.expose_secret())
        };
        let Derived { current, previous } = keyring.derive(&context);
        Successors {
            current: of(&current),
            previous: previous.iter().map(of).collect(),
        }
    }

    fn of_family(user: UserId, session: SessionId, family: &[u8], own: &[u8]) -> Self {
        let secret = URL_SAFE_NO_PAD.encode([family, own].concat());
        Self {
            user,
            session,
            family: family.to_vec().into(),
            text: format!("{user}.{session}.{secret}").into(),
        }
    }

    /// Parses a token; checks only its syntax.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let user = parts.next()?.parse().ok()?;
        let session = parts.next()?.parse().ok()?;
        let secret = URL_SAFE_NO_PAD.decode(parts.next()?).ok()?;
        (secret.len() == FAMILY + OWN && parts.next().is_none()).then(|| Self {
            user,
            session,
            family: secret[..FAMILY].to_vec().into(),
            text: text.into(),
        })
    }

    /// Digest of the bytes that all tokens of the session share.
    pub(super) fn family(&self) -> Digest {
        Digest::of(self.family.expose_secret())
    }

    pub(super) fn digest(&self) -> Digest {
        Digest::of(self.text.expose_secret().as_bytes())
    }

    pub(super) fn expose(&self) -> &str {
        self.text.expose_secret()
    }
}

/// The successor of a refresh token, by each key of the ring.
pub(super) struct Successors {
    /// The one that is issued.
    pub(super) current: RefreshToken,
    /// Those that a process with another current key would have issued.
    previous: Vec<RefreshToken>,
}

impl Successors {
    /// Returns the successor with this digest.
    pub(super) fn with_digest(&self, digest: Digest) -> Option<&RefreshToken> {
        let mut all = std::iter::once(&self.current).chain(&self.previous);
        all.find(|token| token.digest() == digest)
    }
}

/// SHA-256 of a secret. Compared in constant time, serialised as base64.
#[derive(Clone, Copy, Eq)]
pub(super) struct Digest([u8; 32]);

impl Digest {
    fn of(secret: &[u8]) -> Self {
        let hash = digest::digest(&digest::SHA256, secret);
        let mut bytes = [0; 32];
        bytes.copy_from_slice(hash.as_ref());
        Self(bytes)
    }
}

impl PartialEq for Digest {
    fn eq(&self, other: &Self) -> bool {
        constant_time::verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({}…)", hex::encode(&self.0[..4]))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(self.0))
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = bytes_of(deserializer)?;
        let bytes = bytes.try_into();
        Ok(Self(bytes.map_err(|_| D::Error::custom("not 32 bytes"))?))
    }
}

/// A session's signing key, sealed and bound to that session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SealedKey {
    #[serde(rename = "kid")]
    key_id: String,
    #[serde(
        rename = "box",
        serialize_with = "base64",
        deserialize_with = "bytes_of"
    )]
    ciphertext: Vec<u8>,
}

impl SealedKey {
    pub(super) fn seal(
        keyring: &Keyring,
        session: SessionId,
        key: &SigningSecret,
    ) -> Result<Self, KeyringError> {
        let Sealed { key_id, ciphertext } =
            keyring.seal(key.0.expose_secret(), owner(session).as_bytes())?;
        Ok(Self { key_id, ciphertext })
    }

    pub(super) fn open(
        &self,
        keyring: &Keyring,
        session: SessionId,
    ) -> Result<SigningSecret, KeyringError> {
        let aad = owner(session);
        keyring
            .open(&self.key_id, &self.ciphertext, aad.as_bytes())
            .map(SigningSecret)
    }
}

/// Associated data of a sealed signing key: moved to another session, it does not open.
fn owner(session: SessionId) -> String {
    format!("sessions.signing_key:{session}")
}

/// The key of a session's signed requests: 32 bytes. Never printed.
pub struct SigningSecret(SecretSlice<u8>);

impl SigningSecret {
    pub(super) fn generate() -> Result<Self, NoRandomness> {
        Ok(Self(random::<32>()?.to_vec().into()))
    }

    /// The bytes, for HMAC.
    pub fn expose(&self) -> &[u8] {
        self.0.expose_secret()
    }

    /// The form that the client receives.
    pub(super) fn to_base64(&self) -> String {
        STANDARD.encode(self.expose())
    }
}

fn random<const LENGTH: usize>() -> Result<[u8; LENGTH], NoRandomness> {
    let mut bytes = [0; LENGTH];
    rand::fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(bytes)
}

fn base64<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&STANDARD.encode(bytes))
}

fn bytes_of<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    STANDARD
        .decode(String::deserialize(deserializer)?)
        .map_err(D::Error::custom)
}
