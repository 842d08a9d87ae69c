//! What a sign-in writes to the database: the player, new or updated, with WeChat's session key, the sign-in
//! event, and who invited a new player. One statement on Postgres, hence one round trip, since a player waits for
//! it. The session itself is created by `sessions`.

mod writer;

use avalon_wechat::{Code2Session, OpenId, UnionId};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::accounts::session_keys;
use crate::accounts::users::{self, UserError, UserInfo};
use crate::analytics::SIGNED_IN;
use crate::analytics::outbox::{self, ServiceEvent};
use crate::base::base64_bytes;
use crate::base::ids::{SessionId, UserId};
use crate::social::invites::attribution::{self, Touch};
use crate::storage::config::Dialect;
use crate::storage::database::{Database, DatabaseError};
use crate::storage::keyring::{Keyring, KeyringError};

pub use writer::SignInWriter;

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
    /// Whether the player is new and was invited by another one.
    pub invited: bool,
}

/// SQLite cannot change two tables in one statement: the event and the invitation are others in the transaction.
const SQLITE: &str = include_str!("sql/sign_in.sql");

/// Parameters of the sign-in event.
#[derive(Clone, Debug)]
pub struct SignInFacts<'a> {
    /// The session to be created; identifies the event.
    pub session: SessionId,
    /// Such as `ios`, `android`, `pc`.
    pub device_type: Option<&'a str>,
    /// WeChat's scene value: how the game was opened.
    pub scene: Option<i64>,
    /// What the client says about an invitation; counts for a new player only.
    pub touch: Option<Touch>,
}

impl SignInFacts<'_> {
    fn params(&self) -> Value {
        json!({"deviceType": self.device_type, "scene": self.scene})
    }

    /// The event of the sign-in.
    pub fn event<'a>(&self, user: &'a UserInfo) -> ServiceEvent<'a> {
        ServiceEvent {
            id: event_id(self.session),
            user_id: user.id.to_string(),
            open_id: &user.open_id,
            name: SIGNED_IN,
            params: self.params(),
        }
    }
}

/// Returns the id of the sign-in event of a session.
pub fn event_id(session: SessionId) -> String {
    format!("{SIGNED_IN}:{session}")
}

/// What one sign-in writes, as `sql/sign_in_many.sql` reads it.
#[derive(Serialize)]
struct SignInRow {
    /// Of a player who is new.
    user_id: UserId,
    open_id: OpenId,
    union_id: Option<UnionId>,
    #[serde(serialize_with = "base64_bytes::serialize")]
    session_key: Vec<u8>,
    session_key_kid: String,
    #[serde(serialize_with = "base64_bytes::serialize")]
    session_key_digest: Vec<u8>,
    at: i64,
    event_id: String,
    event_name: &'static str,
    params: Value,
    #[serde(flatten)]
    touch: Option<Touch>,
}

impl SignInRow {
    fn new(
        keyring: &Keyring,
        exchanged: &Code2Session,
        facts: &SignInFacts<'_>,
        now: Timestamp,
    ) -> Result<Self, SignInError> {
        let open_id = exchanged.open_id.as_str();
        let key = session_keys::seal(keyring, open_id, &exchanged.session_key)?;
        Ok(Self {
            user_id: UserId::new(),
            open_id: exchanged.open_id.clone(),
            union_id: exchanged.union_id.clone(),
            session_key: key.sealed.ciphertext,
            session_key_kid: key.sealed.key_id,
            session_key_digest: key.digest,
            at: now.as_millisecond(),
            event_id: event_id(facts.session),
            event_name: SIGNED_IN,
            params: facts.params(),
            touch: facts.touch.clone(),
        })
    }
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
    store_one(database, &SignInRow::new(keyring, exchanged, facts, now)?).await
}

async fn store_one(database: &Database, row: &SignInRow) -> Result<SignedInPlayer, SignInError> {
    match database.dialect() {
        Dialect::Postgres => {
            let stored = sqlx::query(include_str!("sql/sign_in_many.sql"))
                .bind(rows_json(&[row])?)
                .fetch_one(database.pool());
            player_of(&stored.await?)
        }
        Dialect::Sqlite => {
            let mut transaction = database.begin().await?;
            let stored = sqlx::query(SQLITE)
                .bind(row.user_id)
                .bind(row.open_id.as_str())
                .bind(row.union_id.as_ref().map(UnionId::as_str))
                .bind(&row.session_key)
                .bind(&row.session_key_kid)
                .bind(&row.session_key_digest)
                .bind(row.at);
            let mut player = player_of(&stored.fetch_one(&mut *transaction).await?)?;
            // A player who has the id of this sign-in is new.
            if let Some(touch) = row.touch.as_ref().filter(|_| player.user.id == row.user_id) {
                player.invited =
                    attribution::attribute(&mut transaction, row.user_id, touch, row.at).await?;
            }
            if !player.banned {
                let event = ServiceEvent {
                    id: row.event_id.clone(),
                    user_id: player.user.id.to_string(),
                    open_id: row.open_id.as_str(),
                    name: SIGNED_IN,
                    params: row.params.clone(),
                };
                let at = Timestamp::from_millisecond(row.at).unwrap_or_default();
                outbox::insert_held(&mut transaction, &event, at).await?;
            }
            transaction.commit().await?;
            Ok(player)
        }
    }
}

fn rows_json(rows: &[&SignInRow]) -> Result<String, SignInError> {
    // Only texts and numbers: cannot fail.
    serde_json::to_string(rows).map_err(|error| sqlx::Error::Encode(error.into()).into())
}

fn player_of(row: &AnyRow) -> Result<SignedInPlayer, SignInError> {
    Ok(SignedInPlayer {
        user: users::user_of(row)?,
        banned: row.try_get::<Option<i64>, _>("banned_at")?.is_some(),
        // SQLite's statement has no such column.
        invited: row
            .try_get::<i64, _>("invited")
            .is_ok_and(|invited| invited != 0),
    })
}
