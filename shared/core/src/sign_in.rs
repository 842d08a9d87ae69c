//! What a sign-in leaves in the database: the player, new or brought up to date, with the session key
//! that WeChat gave. One statement, and so one round trip, which is what a player waits for. The
//! session itself is `sessions`' business.

use avalon_wechat::{Code2Session, UnionId};
use jiff::Timestamp;
use sqlx::Row;

use crate::database::{Database, DatabaseError};
use crate::ids::UserId;
use crate::keyring::{Keyring, KeyringError};
use crate::users::{self, UserError, UserInfo, user_columns};

/// A sign-in could not be stored.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// The database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The player's row.
    #[error(transparent)]
    User(#[from] UserError),
    /// The session key could not be sealed.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
}

impl From<sqlx::Error> for SignInError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

impl SignInError {
    /// Whether storing it again may succeed.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Database(error) | Self::User(UserError::Database(error))
            if error.is_transient())
    }
}

/// Who signed in.
pub struct SignedInPlayer {
    /// The player.
    pub user: UserInfo,
    /// Whether the player may not play.
    pub banned: bool,
}

/// Two sign-ins of one openid at once make one player.
const PUT_USER: &str = concat!(
    "INSERT INTO users (id, open_id, union_id, session_key, session_key_kid,
                        created_at, updated_at, last_login_at)
     VALUES ($1, $2, $3, $4, $5, $6, $6, $6)
     ON CONFLICT (open_id) DO UPDATE SET
         union_id = coalesce(excluded.union_id, users.union_id),
         session_key = excluded.session_key,
         session_key_kid = excluded.session_key_kid,
         updated_at = excluded.updated_at,
         last_login_at = excluded.last_login_at
     RETURNING banned_at, ",
    user_columns!()
);

/// Stores the player of a sign-in, new or brought up to date.
///
/// # Errors
/// See [`SignInError`].
pub async fn store(
    database: &Database,
    keyring: &Keyring,
    exchanged: &Code2Session,
    now: Timestamp,
) -> Result<SignedInPlayer, SignInError> {
    let open_id = exchanged.open_id.as_str();
    let session_key = exchanged.session_key.expose_secret().as_bytes();
    let sealed = keyring.seal(session_key, users::owner(open_id).as_bytes())?;
    let union_id = exchanged.union_id.as_ref().map(UnionId::as_str);
    let row = sqlx::query(PUT_USER)
        .bind(UserId::new().to_string())
        .bind(open_id.to_owned())
        .bind(union_id.map(str::to_owned))
        .bind(sealed.ciphertext)
        .bind(sealed.key_id)
        .bind(now.as_millisecond())
        .fetch_one(database.pool())
        .await?;
    Ok(SignedInPlayer {
        user: users::user_of(&row)?,
        banned: row.try_get::<Option<i64>, _>("banned_at")?.is_some(),
    })
}
