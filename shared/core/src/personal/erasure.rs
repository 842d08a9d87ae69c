//! Erasure of a player: a state machine in the table `erasures`, so that a job of any process can continue where
//! another one was killed. Each step is one transaction, or several that each remove some of what is left, and the
//! state changes with the last of them.
//!
//! | step | what it does |
//! |---|---|
//! | `waiting` | until `due_at` nothing: the erasure can be revoked. Then the row of the player gets a pseudonym and loses all else, and openid and unionid are sealed in the erasure |
//! | `sessions` | ends the sessions; removes what is cached |
//! | `settling` | waits until everything that began before has ended ([`SETTLING`]), then ends sessions again |
//! | `money` | waits until no order and no change of coins is pending; then orders, webhooks and outbox get the pseudonym |
//! | `pushes` | messages of WeChat get the pseudonym |
//! | `events` | parameters and identities of events are removed |
//! | `dead_letters` | dead letters of the player are deleted |
//! | `completion` | what remains is removed, and the end recorded with the webhook |
//! | `notifying` | the game server has not accepted the webhook yet |
//! | `done` | nothing is left |
//!
//! Why nothing is written behind the steps: sign-ins find no row and create another player, and orders and events of
//! the row are refused or stored without identities (`users.erased_at`). Only what read the row before can write what
//! it read, and ends within [`SETTLING`].

pub mod events;
mod identity;
mod money;
mod player;
pub mod pushes;

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

use crate::analytics::outbox::{self, ServiceEvent};
use crate::base::ids::{ErasureId, UserId};
use crate::base::iso_time::IsoTime;
use crate::base::stored_text::stored_as_text;
use crate::payments::fulfilments::Webhooks;
use crate::storage::database::{Database, DatabaseError};
use crate::storage::keyring::{Keyring, KeyringError};

pub use identity::Identity;
pub use money::erase as erase_money;
pub use player::begin;

/// Longer than any job or statement runs that may write what it read of the player before: their time limits are
/// at most 60 s, and those that write openids end within 25 s.
pub const SETTLING: Duration = Duration::from_secs(60);
/// Pause while orders are pending.
const WAIT_FOR_ORDERS: Duration = Duration::from_secs(30);
/// A webhook that was not accepted is enqueued again after this; a job that still exists is found by its key.
const NOTIFY_AGAIN_AFTER: Duration = Duration::from_secs(15 * 60);
/// The sweeper ignores older webhooks; their jobs have become dead letters, for an operator to replay.
const MAX_AGE: Duration = Duration::from_secs(72 * 3600);
/// Name of the service's event, by which sinks learn of an erasure.
const ERASED: &str = "player_erased";

/// Who requested an erasure.
#[derive(
    Clone,
    Copy,
    Debug,
    Display,
    EnumString,
    IntoStaticStr,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum ErasureCause {
    /// An operator.
    Operator,
    /// WeChat, whose account the player closed.
    Wechat,
}

stored_as_text!(ErasureCause);

/// What is done next.
#[derive(
    Clone,
    Copy,
    Debug,
    Display,
    EnumString,
    IntoStaticStr,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Step {
    /// Not begun: can be revoked.
    Waiting,
    /// Sessions and caches.
    Sessions,
    /// Time until nothing that began before can write.
    Settling,
    /// Orders and what follows from them.
    Money,
    /// Messages of WeChat.
    Pushes,
    /// Events.
    Events,
    /// Dead letters.
    DeadLetters,
    /// The rest.
    Completion,
    /// Erased; the game server does not know yet.
    Notifying,
    /// Erased.
    Done,
}

stored_as_text!(Step);

/// The erasure of a player.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erasure {
    /// Its id.
    pub id: ErasureId,
    /// The player.
    pub user_id: UserId,
    /// Who requested it.
    pub cause: ErasureCause,
    /// What is done next.
    pub step: Step,
    /// Unix ms.
    pub requested_at: i64,
    /// When the next step may be done, Unix ms.
    pub due_at: i64,
    /// Unix ms.
    pub started_at: Option<i64>,
    /// Unix ms.
    pub done_at: Option<i64>,
}

/// An erasure could not be requested, revoked or continued.
#[derive(Debug, thiserror::Error)]
pub enum ErasureError {
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// Openid and unionid could not be sealed or opened.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// It has begun.
    #[error("the erasure has begun")]
    Begun,
    /// There is none.
    #[error("no erasure was requested")]
    Unknown,
}

impl From<sqlx::Error> for ErasureError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

impl Erasure {
    /// What replaces the player's openid.
    pub fn pseudonym(&self) -> String {
        format!("erased:{}", self.id)
    }

    /// Describes it to operators.
    pub fn to_json(&self) -> Value {
        json!({
            "erasureId": self.id,
            "userId": self.user_id,
            "cause": self.cause,
            "step": self.step,
            "requestedAt": IsoTime::from_millisecond(self.requested_at),
            "dueAt": IsoTime::from_millisecond(self.due_at),
            "startedAt": self.started_at.and_then(IsoTime::from_millisecond),
            "doneAt": self.done_at.and_then(IsoTime::from_millisecond),
        })
    }

    fn read(row: &AnyRow) -> Result<Self, DatabaseError> {
        Ok(Self {
            id: row.try_get("id")?,
            user_id: row.try_get("user_id")?,
            cause: row.try_get("cause")?,
            step: row.try_get("step")?,
            requested_at: row.try_get("requested_at")?,
            due_at: row.try_get("due_at")?,
            started_at: row.try_get("started_at")?,
            done_at: row.try_get("done_at")?,
        })
    }
}

/// Requests an erasure that begins at `due`. One that was requested before begins no later than that.
///
/// # Errors
/// [`ErasureError::Database`].
pub async fn request(
    database: &Database,
    user: UserId,
    cause: ErasureCause,
    due: Timestamp,
    now: Timestamp,
) -> Result<Erasure, ErasureError> {
    let row = sqlx::query(
        "INSERT INTO erasures (id, user_id, cause, step, requested_at, due_at) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (user_id) DO UPDATE SET due_at =
             CASE WHEN erasures.step = 'waiting' AND excluded.due_at < erasures.due_at
                  THEN excluded.due_at ELSE erasures.due_at END
         RETURNING id, user_id, cause, step, requested_at, due_at, started_at, done_at",
    )
    .bind(ErasureId::new())
    .bind(user)
    .bind(cause)
    .bind(Step::Waiting)
    .bind(now.as_millisecond())
    .bind(due.as_millisecond())
    .fetch_one(database.pool())
    .await?;
    Ok(Erasure::read(&row)?)
}

/// Revokes an erasure that has not begun.
///
/// # Errors
/// [`ErasureError::Begun`], [`ErasureError::Unknown`] and [`ErasureError::Database`].
pub async fn revoke(database: &Database, user: UserId) -> Result<(), ErasureError> {
    let revoked = sqlx::query("DELETE FROM erasures WHERE user_id = $1 AND step = 'waiting'")
        .bind(user)
        .execute(database.pool())
        .await?;
    if revoked.rows_affected() > 0 {
        return Ok(());
    }
    match of_player(database, user).await? {
        Some(_) => Err(ErasureError::Begun),
        None => Err(ErasureError::Unknown),
    }
}

/// Returns the erasure of a player.
///
/// # Errors
/// The database's.
pub async fn of_player(
    database: &Database,
    user: UserId,
) -> Result<Option<Erasure>, DatabaseError> {
    let row = sqlx::query(
        "SELECT id, user_id, cause, step, requested_at, due_at, started_at, done_at
         FROM erasures WHERE user_id = $1",
    )
    .bind(user)
    .fetch_optional(database.pool())
    .await?;
    row.map(|row| Erasure::read(&row)).transpose()
}

/// Returns an erasure; `None` if it was revoked.
///
/// # Errors
/// The database's.
pub async fn by_id(database: &Database, id: ErasureId) -> Result<Option<Erasure>, DatabaseError> {
    let row = sqlx::query(
        "SELECT id, user_id, cause, step, requested_at, due_at, started_at, done_at
         FROM erasures WHERE id = $1",
    )
    .bind(id)
    .fetch_optional(database.pool())
    .await?;
    row.map(|row| Erasure::read(&row)).transpose()
}

/// Lists erasures that were to be continued before `before`, the longest overdue first. Those whose webhook is
/// too old are left to an operator.
///
/// # Errors
/// The database's.
pub async fn due(
    database: &Database,
    before: Timestamp,
    limit: i64,
) -> Result<Vec<Erasure>, DatabaseError> {
    let too_old = before.checked_sub(MAX_AGE).unwrap_or(Timestamp::MIN);
    let rows = sqlx::query(
        "SELECT id, user_id, cause, step, requested_at, due_at, started_at, done_at FROM erasures
         WHERE step <> 'done' AND due_at <= $1 AND (step <> 'notifying' OR done_at > $2)
         ORDER BY due_at LIMIT $3",
    )
    .bind(before.as_millisecond())
    .bind(too_old.as_millisecond())
    .bind(limit)
    .fetch_all(database.pool())
    .await?;
    rows.iter().map(Erasure::read).collect()
}

/// Returns openid and unionid, which are known between the first step and the last.
///
/// # Errors
/// [`ErasureError::Keyring`] when no configured key opens them, and [`ErasureError::Database`].
pub async fn identity(
    database: &Database,
    keyring: &Keyring,
    erasure: &Erasure,
) -> Result<Option<Identity>, ErasureError> {
    let row = sqlx::query(
        "SELECT identity, identity_kid FROM erasures WHERE id = $1 AND identity IS NOT NULL",
    )
    .bind(erasure.id)
    .fetch_optional(database.pool())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let (sealed, key): (Vec<u8>, String) = (row.try_get("identity")?, row.try_get("identity_kid")?);
    Identity::open(keyring, erasure.id, &key, &sealed).map(Some)
}

/// Continues with the next step at `due`; `false` if another job has done so.
///
/// # Errors
/// The database's.
pub async fn advance(
    database: &Database,
    erasure: &Erasure,
    to: Step,
    due: Timestamp,
) -> Result<bool, ErasureError> {
    let mut transaction = database.begin().await?;
    let advanced = claim(&mut transaction, erasure, to, due).await?;
    transaction.commit().await?;
    Ok(advanced)
}

/// Changes the step in the transaction of what it does, and locks the row; `false` if another job has done so.
async fn claim(
    connection: &mut AnyConnection,
    erasure: &Erasure,
    to: Step,
    due: Timestamp,
) -> Result<bool, ErasureError> {
    let changed =
        sqlx::query("UPDATE erasures SET step = $1, due_at = $2 WHERE id = $3 AND step = $4")
            .bind(to)
            .bind(due.as_millisecond())
            .bind(erasure.id)
            .bind(erasure.step)
            .execute(connection)
            .await?;
    Ok(changed.rows_affected() > 0)
}

/// Removes what the audit log has of the player, and records the end of the erasure: with the webhook to the game
/// server, for which the identity is stored until it is delivered, and with an event for the sinks.
///
/// # Errors
/// The database's.
pub async fn complete(
    database: &Database,
    erasure: &Erasure,
    webhooks: Webhooks,
    now: Timestamp,
) -> Result<bool, ErasureError> {
    let next = match webhooks {
        Webhooks::Stored => Step::Notifying,
        Webhooks::Off => Step::Done,
    };
    let mut transaction = database.begin().await?;
    if !claim(&mut transaction, erasure, next, now).await? {
        return Ok(false);
    }
    sqlx::query(
        "UPDATE erasures SET done_at = $1,
             identity = CASE WHEN step = 'done' THEN NULL ELSE identity END,
             identity_kid = CASE WHEN step = 'done' THEN NULL ELSE identity_kid END
         WHERE id = $2",
    )
    .bind(now.as_millisecond())
    .bind(erasure.id)
    .execute(&mut *transaction)
    .await?;
    sqlx::query(
        "UPDATE audit_events SET
             address = CASE WHEN actor = 'player' THEN NULL ELSE address END,
             detail = CASE WHEN kind IN ('nickname_refused', 'user_banned') THEN '{}' ELSE detail END
         WHERE user_id = $1",
    )
    .bind(erasure.user_id)
    .execute(&mut *transaction)
    .await?;
    let event = ServiceEvent {
        id: format!("{ERASED}:{}", erasure.id),
        user_id: erasure.user_id.to_string(),
        open_id: &erasure.pseudonym(),
        name: ERASED,
        params: json!({}),
    };
    outbox::insert(&mut transaction, &event, now).await?;
    transaction.commit().await?;
    Ok(true)
}

/// Returns the body of the webhook of an erasure that is not delivered yet.
pub fn webhook_body(erasure: &Erasure, identity: &Identity) -> String {
    let at = erasure.done_at.and_then(IsoTime::from_millisecond);
    let mut player = json!({"_id": erasure.user_id, "openId": identity.open_id});
    if let Some(union_id) = &identity.union_id {
        player["unionId"] = union_id.as_str().into();
    }
    json!({"type": "player.erased", "timestamp": at, "data": player}).to_string()
}

/// Schedules the next look at a webhook that was enqueued.
///
/// # Errors
/// The database's.
pub async fn notifying(
    database: &Database,
    id: ErasureId,
    now: Timestamp,
) -> Result<(), DatabaseError> {
    let again = now.checked_add(NOTIFY_AGAIN_AFTER).unwrap_or(now);
    sqlx::query("UPDATE erasures SET due_at = $1 WHERE id = $2 AND step = 'notifying'")
        .bind(again.as_millisecond())
        .bind(id)
        .execute(database.pool())
        .await?;
    Ok(())
}

/// Records that the game server has accepted the webhook, and forgets openid and unionid.
///
/// # Errors
/// The database's.
pub async fn notified(
    database: &Database,
    id: ErasureId,
    now: Timestamp,
) -> Result<(), DatabaseError> {
    sqlx::query(
        "UPDATE erasures SET step = 'done', notified_at = $1, identity = NULL, identity_kid = NULL
         WHERE id = $2 AND step = 'notifying'",
    )
    .bind(now.as_millisecond())
    .bind(id)
    .execute(database.pool())
    .await?;
    Ok(())
}
