//! What a sign-in leaves in the database: the player, new or brought up to date, with the session key
//! that WeChat gave, and an event that tells of it. One statement on Postgres, and so one round trip,
//! which is what a player waits for. The session itself is `sessions`' business.

use avalon_wechat::{Code2Session, UnionId};
use jiff::Timestamp;
use serde_json::json;
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::accounts::session_keys::{self, replace_session_key};
use crate::accounts::users::{self, UserError, UserInfo, user_columns};
use crate::analytics::SIGNED_IN;
use crate::analytics::outbox::{self, ServiceEvent};
use crate::base::ids::{SessionId, UserId};
use crate::storage::config::Dialect;
use crate::storage::database::{Database, DatabaseError};
use crate::storage::keyring::{Keyring, KeyringError};

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

/// Two sign-ins of one openid at once make one player, and one version of a key that both bring.
macro_rules! put_user {
    () => {
        concat!(
            "INSERT INTO users (id, open_id, union_id, session_key, session_key_kid,
                                session_key_digest, session_key_version,
                                created_at, updated_at, last_login_at)
             VALUES ($1, $2, $3, $4, $5, $6, 1, $7, $7, $7)
             ON CONFLICT (open_id) DO UPDATE SET
                 union_id = coalesce(excluded.union_id, users.union_id),
                 updated_at = excluded.updated_at,
                 last_login_at = excluded.last_login_at,
                 ",
            replace_session_key!(),
            " RETURNING banned_at, ",
            user_columns!()
        )
    };
}

/// SQLite has no statement that changes two tables; there it takes a transaction of two.
const SQLITE: &str = put_user!();

/// With the event, in one statement. Who is banned does not sign in.
const POSTGRES: &str = concat!(
    "WITH player AS (",
    put_user!(),
    "), event AS (
         INSERT INTO event_outbox (id, user_id, open_id, event_name, params, at, claimed_at)
         SELECT $8, player.id, $2, $9, $10, $7, $7 FROM player WHERE banned_at IS NULL
         ON CONFLICT (id) DO NOTHING
     ) SELECT banned_at, ",
    user_columns!(),
    " FROM player"
);

/// What analytics hears of a sign-in.
#[derive(Clone, Debug)]
pub struct SignInFacts<'a> {
    /// The session that will be: repeated, it is the same event.
    pub session: SessionId,
    /// Such as `ios`, `android`, `pc`.
    pub device_type: Option<&'a str>,
    /// WeChat's scene value of how the game was opened.
    pub scene: Option<i64>,
}

/// The id of the event of a session's sign-in.
pub fn event_id(session: SessionId) -> String {
    format!("{SIGNED_IN}:{session}")
}

/// Stores the player of a sign-in, new or brought up to date. Its event is kept back: there is no session
/// yet.
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
                outbox::keep_back(&mut transaction, &event, now).await?;
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
