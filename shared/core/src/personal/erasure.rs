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

mod completion;
pub mod events;
mod identity;
mod money;
mod player;
pub mod pushes;
mod rows;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::Row;
use sqlx::any::AnyRow;
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

use crate::base::ids::{ErasureId, UserId};
use crate::base::iso_time::IsoTime;
use crate::base::stored_text::stored_as_text;
use crate::storage::database::DatabaseError;
use crate::storage::keyring::KeyringError;

pub use completion::{complete, notified, notifying, webhook_body};
pub use identity::Identity;
pub use money::erase as erase_money;
pub use player::begin;
pub use rows::{advance, by_id, due, identity, of_player, request, revoke};

/// Longer than any job or statement runs that may write what it read of the player before: their time limits are
/// at most 60 s, and those that write openids end within 25 s.
pub const SETTLING: Duration = Duration::from_secs(60);
/// Pause while orders are pending.
const WAIT_FOR_ORDERS: Duration = Duration::from_secs(30);
/// A webhook that was not accepted is enqueued again after this; a job that still exists is found by its key.
const NOTIFY_AGAIN_AFTER: Duration = Duration::from_secs(15 * 60);
/// The sweeper ignores older webhooks; their jobs have become dead letters, for an operator to replay.
const MAX_AGE: Duration = Duration::from_secs(72 * 3600);

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
