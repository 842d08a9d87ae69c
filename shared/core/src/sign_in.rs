//! What a sign-in leaves in the database: the player and the session, in one step. On Postgres that
//! is one statement and so one round trip, which is what a player waits for; on SQLite, which has no
//! such statement, a transaction of two.

use std::time::Duration;

use avalon_wechat::{Code2Session, UnionId};
use jiff::Timestamp;
use serde_json::{Value, json};
use sqlx::Any;
use sqlx::any::AnyArguments;
use sqlx::query::Query;

use crate::analytics::outbox::{self, ServiceEvent};
use crate::config::Dialect;
use crate::database::{Database, DatabaseError};
use crate::ids::{SessionId, UserId};
use crate::keyring::{Keyring, KeyringError, Sealed};
use crate::sessions::{self, Device, NewSession, SessionError, SessionSecrets};
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
    /// The session's secrets.
    #[error(transparent)]
    Session(#[from] SessionError),
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

/// Two sign-ins of one openid at once make one player.
macro_rules! put_user {
    () => {
        "INSERT INTO users (id, open_id, union_id, session_key, session_key_kid,
                            created_at, updated_at, last_login_at)
         VALUES ($1, $2, $3, $4, $5, $6, $6, $6)
         ON CONFLICT (open_id) DO UPDATE SET
             union_id = coalesce(excluded.union_id, users.union_id),
             session_key = excluded.session_key,
             session_key_kid = excluded.session_key_kid,
             updated_at = excluded.updated_at,
             last_login_at = excluded.last_login_at
         RETURNING "
    };
}

macro_rules! session_columns {
    () => {
        "INSERT INTO sessions (id, device_id, device_type, scene, refresh_digest, signing_key,
                               signing_key_kid, created_at, expires_at, user_id) "
    };
}

/// The same session again (a job that is repeated): its secrets are replaced, since nobody can have
/// been told the first ones.
macro_rules! same_session {
    () => {
        " ON CONFLICT (id) DO UPDATE SET
             refresh_digest = excluded.refresh_digest,
             signing_key = excluded.signing_key,
             signing_key_kid = excluded.signing_key_kid,
             expires_at = excluded.expires_at"
    };
}

/// What analytics hears of it; the session's id makes it one event, whatever is repeated.
macro_rules! signed_in_columns {
    () => {
        "INSERT INTO event_outbox (id, user_id, open_id, event_name, params, at) "
    };
}

const POSTGRES: &str = concat!(
    "WITH player AS (",
    put_user!(),
    user_columns!(),
    "), session AS (",
    session_columns!(),
    "SELECT $7, $8, $9, $10, $11, $12, $13, $14, $15, player.id FROM player",
    same_session!(),
    "), event AS (",
    signed_in_columns!(),
    "SELECT $16, player.id, $2, $17, $18, $6 FROM player ON CONFLICT (id) DO NOTHING",
    ") SELECT ",
    user_columns!(),
    " FROM player"
);

const SQLITE_USER: &str = concat!(put_user!(), user_columns!());

const SQLITE_SESSION: &str = concat!(
    session_columns!(),
    "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    same_session!()
);

/// Stores a sign-in: the player, new or brought up to date, and a session.
///
/// # Errors
/// See [`SignInError`].
pub async fn store(
    database: &Database,
    keyring: &Keyring,
    exchanged: &Code2Session,
    session: SessionId,
    device: Device,
    ttl: Duration,
    now: Timestamp,
) -> Result<(UserInfo, SessionSecrets), SignInError> {
    let open_id = exchanged.open_id.as_str();
    let session_key = exchanged.session_key.expose_secret().as_bytes();
    let sealed = keyring.seal(session_key, users::owner(open_id).as_bytes())?;
    let (row, secrets) = sessions::make_up(keyring, session, device, now, ttl)?;
    let event = SignedInEvent::of(&row);
    let user = match database.dialect() {
        Dialect::Postgres => {
            let query = bind_user(sqlx::query(POSTGRES), exchanged, sealed, now);
            let query = bind_session(query, row);
            bind_event(query, event).fetch_one(database.pool()).await?
        }
        Dialect::Sqlite => {
            let mut transaction = database.begin().await?;
            let user = bind_user(sqlx::query(SQLITE_USER), exchanged, sealed, now)
                .fetch_one(&mut *transaction)
                .await?;
            bind_session(sqlx::query(SQLITE_SESSION), row)
                .bind(users::user_of(&user)?.id.to_string())
                .execute(&mut *transaction)
                .await?;
            let event = ServiceEvent {
                id: event.id,
                user_id: users::user_of(&user)?.id.to_string(),
                open_id,
                name: SignedInEvent::NAME,
                params: event.params,
            };
            outbox::keep(&mut transaction, &event, now).await?;
            transaction.commit().await?;
            user
        }
    };
    Ok((users::user_of(&user)?, secrets))
}

type Statement = Query<'static, Any, AnyArguments>;

fn bind_user(
    query: Statement,
    exchanged: &Code2Session,
    sealed: Sealed,
    now: Timestamp,
) -> Statement {
    query
        .bind(UserId::new().to_string())
        .bind(exchanged.open_id.as_str().to_owned())
        .bind(
            exchanged
                .union_id
                .as_ref()
                .map(|id: &UnionId| id.as_str().to_owned()),
        )
        .bind(sealed.ciphertext)
        .bind(sealed.key_id)
        .bind(now.as_millisecond())
}

/// The event of a sign-in, less the player, whom only the database knows.
struct SignedInEvent {
    id: String,
    params: Value,
}

impl SignedInEvent {
    const NAME: &str = "signed_in";

    fn of(session: &NewSession) -> Self {
        let Device { kind, scene, .. } = &session.device;
        Self {
            id: format!("signed_in:{}", session.id),
            params: json!({"deviceType": kind, "scene": scene}),
        }
    }
}

fn bind_event(query: Statement, event: SignedInEvent) -> Statement {
    query
        .bind(event.id)
        .bind(SignedInEvent::NAME)
        .bind(event.params.to_string())
}

fn bind_session(query: Statement, session: NewSession) -> Statement {
    query
        .bind(session.id.to_string())
        .bind(session.device.id)
        .bind(session.device.kind)
        .bind(session.device.scene)
        .bind(session.refresh_digest)
        .bind(session.signing_key.ciphertext)
        .bind(session.signing_key.key_id)
        .bind(session.created_at)
        .bind(session.expires_at)
}
