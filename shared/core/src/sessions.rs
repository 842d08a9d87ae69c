//! Sign-ins of players on devices: the session's row, its refresh token (kept as a digest only) and
//! its signing key (sealed). Renewal, device policy and ending a session are not here yet.

use std::time::Duration;

use aws_lc_rs::{digest, rand};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::Timestamp;
use sqlx::AnyConnection;

use crate::database::DatabaseError;
use crate::ids::{SessionId, UserId};
use crate::keyring::{Keyring, KeyringError};

/// A session could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The signing key could not be sealed.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// The system has no random numbers to give.
    #[error("no random numbers to be had")]
    Random,
}

impl From<sqlx::Error> for SessionError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
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

/// Makes a session. Making it again under the same id (a job that is repeated) replaces its
/// secrets, since nobody can have been told the first ones.
///
/// # Errors
/// See [`SessionError`].
pub async fn open(
    connection: &mut AnyConnection,
    keyring: &Keyring,
    id: SessionId,
    user: UserId,
    device: &Device,
    now: Timestamp,
    ttl: Duration,
) -> Result<SessionSecrets, SessionError> {
    let refresh_token = format!("{id}.{}", URL_SAFE_NO_PAD.encode(random()?));
    let signing_key = random()?;
    let sealed = keyring.seal(&signing_key, owner(id).as_bytes())?;
    let ttl_ms = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX);
    let expires_at = now.as_millisecond().saturating_add(ttl_ms);
    sqlx::query(
        "INSERT INTO sessions (id, user_id, device_id, device_type, scene, refresh_digest,
                               signing_key, signing_key_kid, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         ON CONFLICT (id) DO UPDATE SET
             refresh_digest = excluded.refresh_digest,
             signing_key = excluded.signing_key,
             signing_key_kid = excluded.signing_key_kid,
             expires_at = excluded.expires_at",
    )
    .bind(id.to_string())
    .bind(user.to_string())
    .bind(&device.id)
    .bind(&device.kind)
    .bind(device.scene)
    .bind(digest_of(&refresh_token))
    .bind(sealed.ciphertext)
    .bind(sealed.key_id)
    .bind(now.as_millisecond())
    .bind(expires_at)
    .execute(connection)
    .await?;
    Ok(SessionSecrets {
        refresh_token,
        refresh_expires: Timestamp::from_millisecond(expires_at).unwrap_or(Timestamp::MAX),
        signing_key: STANDARD.encode(signing_key),
    })
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
