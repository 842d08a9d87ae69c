//! WeChat's session keys of players by version: the current key and the previous one, which still opens
//! data that was on its way when the key was replaced. Sealed in `users`, opened here, and never part of a
//! type that can be serialised.
//!
//! A key that WeChat returns again creates no new version. One that was replaced a moment ago (a sign-in
//! that is stored late) changes nothing; `sql/sign_in.sql` has the rule.

use std::time::Duration;

use avalon_wechat::{OpenId, SessionKey};
use aws_lc_rs::digest::{self, SHA256};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::storage::database::{Database, DatabaseError};
use crate::storage::keyring::{Keyring, KeyringError, Sealed};

/// Session keys could not be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum SessionKeyError {
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// A key could not be sealed or opened.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// The opened bytes are not a session key.
    #[error("the stored session key is not UTF-8")]
    NotText,
}

impl From<sqlx::Error> for SessionKeyError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

impl SessionKeyError {
    /// Whether a retry may succeed.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Database(error) if error.is_transient())
    }
}

/// The columns of a key.
pub(crate) struct SealedKey {
    pub(crate) sealed: Sealed,
    /// Compares keys without opening them. The key has 128 random bits, so the digest does not reveal it.
    pub(crate) digest: Vec<u8>,
}

pub(crate) fn seal(
    keyring: &Keyring,
    open_id: &str,
    key: &SessionKey,
) -> Result<SealedKey, KeyringError> {
    let key = key.expose_secret();
    Ok(SealedKey {
        sealed: keyring.seal(key.as_bytes(), owner(open_id).as_bytes())?,
        digest: digest::digest(&SHA256, format!("{open_id}:{key}").as_bytes())
            .as_ref()
            .to_vec(),
    })
}

/// Associated data of a sealed key: moved to another player's row, it does not open.
fn owner(open_id: &str) -> String {
    format!("users.session_key:{open_id}")
}

/// The session keys of a player.
#[derive(Debug)]
pub struct SessionKeys {
    /// The latest key.
    pub current: SessionKey,
    /// Number of different keys that WeChat has returned, this one included.
    pub version: i64,
    previous: Option<(SessionKey, Timestamp)>,
}

impl SessionKeys {
    /// Returns the keys to try on data received at `at`, newest first: the current key, and the previous
    /// one if it was replaced less than `grace` before.
    pub fn valid_at(&self, at: Timestamp, grace: Duration) -> impl Iterator<Item = &SessionKey> {
        let previous = self
            .previous
            .as_ref()
            .filter(|(_, replaced_at)| {
                // Negative if it was the current key when the data was received.
                at.duration_since(*replaced_at).as_millis() < to_millis(grace)
            })
            .map(|(key, _)| key);
        std::iter::once(&self.current).chain(previous)
    }
}

fn to_millis(duration: Duration) -> i128 {
    i128::try_from(duration.as_millis()).unwrap_or(i128::MAX)
}

/// Returns the keys of a player; `None` if the player or the key is unknown.
///
/// # Errors
/// [`SessionKeyError::Keyring`] when no key on the ring opens the current key. A previous one that does
/// not open is left out, since it expires soon anyway.
pub async fn of_player(
    database: &Database,
    keyring: &Keyring,
    open_id: &OpenId,
) -> Result<Option<SessionKeys>, SessionKeyError> {
    let row = sqlx::query(
        "SELECT session_key, session_key_kid, session_key_version,
                previous_session_key, previous_session_key_kid, session_key_replaced_at
         FROM users WHERE open_id = $1 AND session_key IS NOT NULL",
    )
    .bind(open_id.as_str())
    .fetch_optional(database.pool())
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(SessionKeys {
        current: opened(keyring, open_id, row.try_get("session_key_kid")?, {
            row.try_get("session_key")?
        })?,
        version: row.try_get("session_key_version")?,
        previous: previous(keyring, open_id, &row)?,
    }))
}

fn previous(
    keyring: &Keyring,
    open_id: &OpenId,
    row: &AnyRow,
) -> Result<Option<(SessionKey, Timestamp)>, SessionKeyError> {
    let ciphertext: Option<Vec<u8>> = row.try_get("previous_session_key")?;
    let key_id: Option<String> = row.try_get("previous_session_key_kid")?;
    let replaced_at: Option<i64> = row.try_get("session_key_replaced_at")?;
    let (Some(ciphertext), Some(key_id), Some(replaced_at)) = (ciphertext, key_id, replaced_at)
    else {
        return Ok(None);
    };
    let replaced_at = Timestamp::from_millisecond(replaced_at)
        .map_err(|_| DatabaseError::Damaged("users.session_key_replaced_at".to_owned()))?;
    Ok(opened(keyring, open_id, key_id, ciphertext)
        .ok()
        .map(|key| (key, replaced_at)))
}

fn opened(
    keyring: &Keyring,
    open_id: &OpenId,
    key_id: String,
    ciphertext: Vec<u8>,
) -> Result<SessionKey, SessionKeyError> {
    let aad = owner(open_id.as_str());
    let opened = keyring.open(&key_id, &ciphertext, aad.as_bytes())?;
    let text = std::str::from_utf8(opened.expose_secret()).map_err(|_| SessionKeyError::NotText)?;
    Ok(SessionKey::new(SecretString::from(text)))
}

/// Stores the key that WeChat returned for a reset of `old`, as a new version. The old one has no grace
/// period, since it may have leaked. Returns `false`, with nothing stored, if the player's key is neither
/// `old` nor `new` (stored by an attempt whose reply was lost).
///
/// # Errors
/// See [`SessionKeyError`].
pub async fn reset(
    database: &Database,
    keyring: &Keyring,
    open_id: &OpenId,
    old: &SessionKey,
    new: &SessionKey,
    now: Timestamp,
) -> Result<bool, SessionKeyError> {
    let old = seal(keyring, open_id.as_str(), old)?.digest;
    let new = seal(keyring, open_id.as_str(), new)?;
    let done = sqlx::query(
        "UPDATE users SET session_key = $3, session_key_kid = $4, session_key_digest = $5,
                session_key_version = CASE WHEN session_key_digest = $5
                    THEN session_key_version ELSE session_key_version + 1 END,
                previous_session_key = NULL, previous_session_key_kid = NULL,
                previous_session_key_digest = $2, session_key_replaced_at = $6
         WHERE open_id = $1
               AND (session_key_digest IN ($2, $5) OR session_key_digest IS NULL)",
    )
    .bind(open_id.as_str())
    .bind(old)
    .bind(new.sealed.ciphertext)
    .bind(new.sealed.key_id)
    .bind(new.digest)
    .bind(now.as_millisecond())
    .execute(database.pool())
    .await?;
    Ok(done.rows_affected() == 1)
}
