//! Sessions of players on devices: the refresh token (kept as a digest only) and the signing key
//! (sealed). Written by `sign_in`; renewal, device policy and ending a session are not here yet.

use std::time::Duration;

use aws_lc_rs::{digest, rand};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::Timestamp;

use crate::ids::SessionId;
use crate::keyring::{Keyring, KeyringError, Sealed};

/// A session could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The signing key could not be sealed.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// The system has no random numbers to give.
    #[error("no random numbers to be had")]
    Random,
}

/// On what a player signs in.
#[derive(Clone, Debug, Default)]
pub struct Device {
    /// The client's own name of the device.
    pub id: Option<String>,
    /// Such as `ios`, `android`, `pc`.
    pub kind: Option<String>,
    /// WeChat's scene value of how the game was opened.
    pub scene: Option<i64>,
}

/// What only the owner of a new session is told, once.
pub struct SessionSecrets {
    /// Buys the next token.
    pub refresh_token: String,
    /// When the session and its refresh token end.
    pub refresh_expires: Timestamp,
    /// Signs the player's requests: base64 of 32 bytes.
    pub signing_key: String,
}

/// A session's row, before it is written.
pub(crate) struct NewSession {
    pub(crate) id: SessionId,
    pub(crate) device: Device,
    pub(crate) refresh_digest: Vec<u8>,
    pub(crate) signing_key: Sealed,
    pub(crate) created_at: i64,
    pub(crate) expires_at: i64,
}

/// Makes up a session's secrets, for its owner and, unreadable, for its row.
pub(crate) fn make_up(
    keyring: &Keyring,
    id: SessionId,
    device: Device,
    now: Timestamp,
    ttl: Duration,
) -> Result<(NewSession, SessionSecrets), SessionError> {
    let refresh_token = format!("{id}.{}", URL_SAFE_NO_PAD.encode(random()?));
    let signing_key = random()?;
    let ttl_ms = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX);
    let expires_at = now.as_millisecond().saturating_add(ttl_ms);
    let row = NewSession {
        id,
        device,
        refresh_digest: digest_of(&refresh_token),
        signing_key: keyring.seal(&signing_key, owner(id).as_bytes())?,
        created_at: now.as_millisecond(),
        expires_at,
    };
    let secrets = SessionSecrets {
        refresh_token,
        refresh_expires: Timestamp::from_millisecond(expires_at).unwrap_or(Timestamp::MAX),
        signing_key: STANDARD.encode(signing_key),
    };
    Ok((row, secrets))
}

/// What a sealed signing key belongs to.
fn owner(id: SessionId) -> String {
    format!("sessions.signing_key:{id}")
}

/// What is kept of a refresh token.
fn digest_of(refresh_token: &str) -> Vec<u8> {
    digest::digest(&digest::SHA256, refresh_token.as_bytes())
        .as_ref()
        .to_vec()
}

fn random() -> Result<[u8; 32], SessionError> {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).map_err(|_| SessionError::Random)?;
    Ok(bytes)
}
