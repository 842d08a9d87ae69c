//! What a sign-in writes to the database: the player, new or updated, with WeChat's session key, and the
//! sign-in event. One statement on Postgres, hence one round trip, since a player waits for it. The
//! session itself is created by `sessions`.

use avalon_wechat::{Code2Session, UnionId};
use jiff::Timestamp;
use serde_json::json;
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::accounts::session_keys;
use crate::accounts::users::{self, UserError, UserInfo};
use crate::analytics::SIGNED_IN;
use crate::analytics::outbox::{self, ServiceEvent};
use crate::base::ids::{SessionId, UserId};
use crate::storage::config::Dialect;
use crate::storage::database::{Database, DatabaseError};
use crate::storage::keyring::{Keyring, KeyringError};

/// A sign-in could not be stored.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The player's row could not be read.
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
    /// Whether a retry may succeed.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Database(error) | Self::User(UserError::Database(error))
            if error.is_transient())
    }
}

/// The stored player of a sign-in.
pub struct SignedInPlayer {
    /// The player.
    pub user: UserInfo,
    /// Whether the player is banned.
    pub banned: bool,
}

/// SQLite cannot change two tables in one statement: the event is a second one in the transaction.
const SQLITE: &str = include_str!("sql/sign_in.sql");

const POSTGRES: &str = include_str!("sql/sign_in_with_event.sql");

/// Parameters of the sign-in event.
#[derive(Clone, Debug)]
pub struct SignInFacts<'a> {
    /// The session to be created; identifies the event.
    pub session: SessionId,
    /// Such as `ios`, `android`, `pc`.
    pub device_type: Option<&'a str>,
    /// WeChat's scene value: how the game was opened.
    pub scene: Option<i64>,
}

/// Returns the id of the sign-in event of a session.
pub fn event_id(session: SessionId) -> String {
    format!("{SIGNED_IN}:{session}")
}

/// Stores the player of a sign-in, new or updated. The event is held until the session exists.
///
/// # Errors
/// See [`SignInError`].
pub async fn store(
    database: &Database,
    keyring: &Keyring,
    exchanged: &Code2Session,
    facts: &SignInFacts<'_>,
    now: Timestamp,
) -> Result<SignedInPlayer, SignInError> {
    let open_id = exchanged.open_id.as_str();
    let key = session_keys::seal(keyring, open_id, &exchanged.session_key)?;
    let union_id = exchanged.union_id.as_ref().map(UnionId::as_str);
    let event_id = event_id(facts.session);
    let params = json!({"deviceType": facts.device_type, "scene": facts.scene});
    let put = |statement| {
        sqlx::query(statement)
            .bind(UserId::new().to_string())
            .bind(open_id.to_owned())
            .bind(union_id.map(str::to_owned))
            .bind(key.sealed.ciphertext)
            .bind(key.sealed.key_id)
            .bind(key.digest)
            .bind(now.as_millisecond())
    };
    match database.dialect() {
        Dialect::Postgres => {
            let put = put(POSTGRES)
                .bind(event_id)
                .bind(SIGNED_IN)
                .bind(params.to_string());
            player_of(&put.fetch_one(database.pool()).await?)
        }
        Dialect::Sqlite => {
            let mut transaction = database.begin().await?;
            let player = player_of(&put(SQLITE).fetch_one(&mut *transaction).await?)?;
            if !player.banned {
                let event = ServiceEvent {
                    id: event_id,
                    user_id: player.user.id.to_string(),
                    open_id,
                    name: SIGNED_IN,
                    params,
                };
                outbox::insert_held(&mut transaction, &event, now).await?;
            }
            transaction.commit().await?;
            Ok(player)
        }
    }
}

fn player_of(row: &AnyRow) -> Result<SignedInPlayer, SignInError> {
    Ok(SignedInPlayer {
        user: users::user_of(row)?,
        banned: row.try_get::<Option<i64>, _>("banned_at")?.is_some(),
    })
}
