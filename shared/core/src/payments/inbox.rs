//! Payment callbacks as they were received: on disk before they are acknowledged.

mod writer;

use jiff::Timestamp;
use sqlx::Row;
use sqlx::any::AnyRow;
use strum::{Display, EnumString, IntoStaticStr};

use super::status::Channel;
use super::{CallbackOutcome, PaymentError};
use crate::base::ids::InboxId;
use crate::base::stored_text::stored_as_text;
use crate::storage::database::Database;

pub use writer::{InboxWriter, MAX_UNVERIFIED};

/// The subject of a callback, by the route that received it.
#[derive(Clone, Copy, Debug, Display, EnumString, IntoStaticStr, PartialEq, Eq)]
#[strum(serialize_all = "snake_case")]
pub enum CallbackKind {
    /// A payment.
    Payment,
    /// A refund.
    Refund,
}

stored_as_text!(CallbackKind);

/// A callback as it was received.
#[derive(Clone, Debug)]
pub struct Received {
    /// The payment channel that sent it.
    pub channel: Channel,
    /// The subject.
    pub kind: CallbackKind,
    /// The headers that the channel's signature needs, as JSON.
    pub headers: String,
    /// The exact body.
    pub body: Vec<u8>,
    /// Whether its signature was verified on receipt.
    pub verified: bool,
}

/// A callback in the inbox.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its id here.
    pub id: InboxId,
    /// The callback.
    pub received: Received,
    /// Unix ms.
    pub received_at: i64,
    /// None: not processed yet.
    pub outcome: Option<CallbackOutcome>,
}

pub(super) fn entry_of(row: &AnyRow) -> Result<Entry, PaymentError> {
    Ok(Entry {
        id: row.try_get("id")?,
        received: Received {
            channel: row.try_get("channel")?,
            kind: row.try_get("kind")?,
            headers: row.try_get("headers")?,
            body: row.try_get("body")?,
            verified: super::products::flag(row, "verified")?,
        },
        received_at: row.try_get("received_at")?,
        outcome: row.try_get("outcome")?,
    })
}

/// Reads a callback.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn by_id(database: &Database, id: InboxId) -> Result<Option<Entry>, PaymentError> {
    let row = sqlx::query(
        "SELECT id, channel, kind, headers, body, verified, received_at, outcome
         FROM inbox WHERE id = $1",
    )
    .bind(id)
    .fetch_optional(database.pool())
    .await?;
    row.map(|row| entry_of(&row)).transpose()
}

/// Records the outcome of a callback. A forged one is deleted: its row would be of no use, and anyone can
/// have rows stored.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn processed(
    database: &Database,
    id: InboxId,
    outcome: CallbackOutcome,
) -> Result<(), PaymentError> {
    if outcome.is_forged() {
        sqlx::query("DELETE FROM inbox WHERE id = $1")
            .bind(id)
            .execute(database.pool())
            .await?;
        return Ok(());
    }
    sqlx::query(
        "UPDATE inbox SET outcome = $1, processed_at = $2 WHERE id = $3 AND coalesce(outcome, '') = ''",
    )
    .bind(outcome)
    .bind(Timestamp::now().as_millisecond())
    .bind(id)
    .execute(database.pool())
    .await?;
    Ok(())
}

/// Lists unprocessed callbacks that were received before `before` (Unix ms): those that were verified on
/// receipt first, so that forgeries cannot delay them, then the oldest.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn unprocessed(
    database: &Database,
    before: i64,
    limit: i64,
) -> Result<Vec<InboxId>, PaymentError> {
    Ok(sqlx::query_scalar(
        "SELECT id FROM inbox WHERE outcome IS NULL AND received_at <= $1
         ORDER BY verified DESC, received_at LIMIT $2",
    )
    .bind(before)
    .bind(limit)
    .fetch_all(database.pool())
    .await?)
}

/// Deletes up to `limit` callbacks that were processed before `before`, oldest first; returns their number.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn delete_processed(
    database: &Database,
    before: Timestamp,
    limit: i64,
) -> Result<u64, PaymentError> {
    let deleted = sqlx::query(
        "DELETE FROM inbox WHERE id IN
             (SELECT id FROM inbox WHERE processed_at < $1 ORDER BY processed_at LIMIT $2)",
    )
    .bind(before.as_millisecond())
    .bind(limit)
    .execute(database.pool())
    .await?;
    Ok(deleted.rows_affected())
}
