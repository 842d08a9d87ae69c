//! WeChat's session keys of players by version: the key of now, and the one before it, which still opens
//! data that were under way when it was replaced. Sealed in `users`, opened here; in no type that can be
//! serialised.
//!
//! A key that WeChat gives again makes no new version. One that was replaced a moment ago (a sign-in that
//! is stored late) changes nothing.

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
    /// The database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// A key could not be sealed or opened.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// What was opened is no session key.
    #[error("the stored session key is no text")]
    NotText,
}

impl From<sqlx::Error> for SessionKeyError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

impl SessionKeyError {
    /// Whether trying it again may succeed.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Database(error) if error.is_transient())
    }
}

/// A key, ready for its row.
pub(crate) struct SealedKey {
    pub(crate) sealed: Sealed,
    /// Tells keys apart without opening them. The key has 128 random bits, so nobody guesses it.
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

/// What a sealed key belongs to: moved to another player's row, it does not open.
fn owner(open_id: &str) -> String {
    format!("users.session_key:{open_id}")
}

/// Whether the key of the row that was to be inserted is one that is known to have been replaced
/// already. Only for as long as a sign-in may be stored late, which takes 10 s and WeChat's answer
/// before: a key that WeChat gives after that is the key of now, and it was the other one that came late.
macro_rules! comes_late {
    () => {
        "excluded.session_key_digest = users.previous_session_key_digest
             AND users.session_key_replaced_at > excluded.updated_at - 30000"
    };
}

/// Whether that key changes nothing.
macro_rules! is_known {
    () => {
        concat!(
            "excluded.session_key_digest = users.session_key_digest OR ",
            $crate::accounts::session_keys::comes_late!()
        )
    };
}

/// For `ON CONFLICT DO UPDATE SET`: brings in the key of the row that was to be inserted
/// (`session_key`, `_kid` and `_digest`), replaced at its `updated_at`.
macro_rules! replace_session_key {
    () => {
        concat!(
            "session_key = CASE WHEN ",
            $crate::accounts::session_keys::comes_late!(),
            " THEN users.session_key ELSE excluded.session_key END,
         session_key_kid = CASE WHEN ",
            $crate::accounts::session_keys::comes_late!(),
            " THEN users.session_key_kid ELSE excluded.session_key_kid END,
         session_key_digest = CASE WHEN ",
            $crate::accounts::session_keys::comes_late!(),
            " THEN users.session_key_digest ELSE excluded.session_key_digest END,
         session_key_version = CASE WHEN ",
            $crate::accounts::session_keys::is_known!(),
            " THEN users.session_key_version ELSE users.session_key_version + 1 END,
         previous_session_key = CASE WHEN ",
            $crate::accounts::session_keys::is_known!(),
            " THEN users.previous_session_key ELSE users.session_key END,
         previous_session_key_kid = CASE WHEN ",
            $crate::accounts::session_keys::is_known!(),
            " THEN users.previous_session_key_kid ELSE users.session_key_kid END,
         previous_session_key_digest = CASE WHEN ",
            $crate::accounts::session_keys::is_known!(),
            " THEN users.previous_session_key_digest ELSE users.session_key_digest END,
         session_key_replaced_at = CASE WHEN ",
            $crate::accounts::session_keys::is_known!(),
            " THEN users.session_key_replaced_at ELSE excluded.updated_at END"
        )
    };
}

pub(crate) use {comes_late, is_known, replace_session_key};

/// The keys of a player.
#[derive(Debug)]
pub struct SessionKeys {
    /// The key of now.
    pub current: SessionKey,
    /// How many different keys WeChat has given, this one included.
    pub version: i64,
    previous: Option<(SessionKey, Timestamp)>,
}

impl SessionKeys {
    /// The keys that are good for data that came in at `at`, newest first: the key of now, and the one
    /// before it when it was replaced less than `grace` ago.
    pub fn good_at(&self, at: Timestamp, grace: Duration) -> impl Iterator<Item = &SessionKey> {
        let previous = self
            .previous
            .as_ref()
            .filter(|(_, replaced_at)| {
                // Not replaced yet when the data came in: it was the key then.
                at.duration_since(*replaced_at).as_millis() < to_millis(grace)
            })
            .map(|(key, _)| key);
        std::iter::once(&self.current).chain(previous)
    }
}

fn to_millis(duration: Duration) -> i128 {
    i128::try_from(duration.as_millis()).unwrap_or(i128::MAX)
}

/// The keys of a player; none when there is no such player or WeChat gave none.
///
/// # Errors
/// [`SessionKeyError::Keyring`] when no key on the ring opens the key of now. A previous one that does
/// not open is left out: it is worth nothing soon.
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

/// Stores the key that WeChat gave when it was asked to reset `old`, as a new version. Without a grace
/// for the old one: who resets a key may have cause to think that somebody else has it. `false` when the
/// player's key is neither `old` nor `new` (stored by an attempt whose answer was lost), and nothing was
/// stored.
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
