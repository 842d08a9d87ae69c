//! Webhooks to the game server: stored in the transaction of the change that they report, sent later.

use std::time::Duration;

use jiff::Timestamp;
use sqlx::Row;

use super::PaymentError;
use crate::base::ids::{FulfilmentId, OrderId};
use crate::storage::database::Database;

/// Whether changes are reported to the game server. Without one that is configured, nothing is stored: a row
/// could never be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Webhooks {
    /// A webhook is stored with each change.
    Stored,
    /// None are.
    Off,
}

/// A webhook to the game server.
#[derive(Clone, Debug)]
pub struct Fulfilment {
    /// The `webhook-id` of every attempt.
    pub id: FulfilmentId,
    /// The order that it reports; none: it belongs to no order.
    pub order_id: Option<OrderId>,
    /// The exact body.
    pub body: String,
    /// Whether the game server has accepted it.
    pub delivered: bool,
}

/// Reads a webhook.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn by_id(
    database: &Database,
    id: FulfilmentId,
) -> Result<Option<Fulfilment>, PaymentError> {
    let row = sqlx::query("SELECT id, order_id, body, delivered_at FROM fulfilments WHERE id = $1")
        .bind(id)
        .fetch_optional(database.pool())
        .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Fulfilment {
        id: row.try_get("id")?,
        order_id: row.try_get("order_id")?,
        body: row.try_get("body")?,
        delivered: row.try_get::<Option<i64>, _>("delivered_at")?.is_some(),
    }))
}

/// An undelivered webhook is enqueued again after this: its job may have been lost with the queue. A job
/// that still exists is found by its key.
const ENQUEUE_AGAIN_AFTER_MS: i64 = 15 * 60 * 1000;
/// The sweeper ignores older webhooks; their jobs have become dead letters, for an operator to replay.
pub const MAX_AGE: Duration = Duration::from_secs(72 * 3600);

/// Lists webhooks that may have no job, oldest first.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn to_enqueue(
    database: &Database,
    limit: i64,
) -> Result<Vec<FulfilmentId>, PaymentError> {
    let now = Timestamp::now();
    let too_old = now.checked_sub(MAX_AGE).unwrap_or(Timestamp::MIN);
    Ok(sqlx::query_scalar(
        "SELECT id FROM fulfilments
         WHERE delivered_at IS NULL AND created_at > $1 AND coalesce(enqueued_at, 0) < $2
         ORDER BY created_at LIMIT $3",
    )
    .bind(too_old.as_millisecond())
    .bind(now.as_millisecond() - ENQUEUE_AGAIN_AFTER_MS)
    .bind(limit)
    .fetch_all(database.pool())
    .await?)
}

/// Whether the webhook of the order's payment must be delivered first. One that is too old to be sent is
/// not waited for.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn must_wait(database: &Database, fulfilment: &Fulfilment) -> Result<bool, PaymentError> {
    let Some(order) = fulfilment.order_id else {
        return Ok(false);
    };
    let now = Timestamp::now();
    let too_old = now.checked_sub(MAX_AGE).unwrap_or(Timestamp::MIN);
    let before: Option<i64> = sqlx::query_scalar(
        "SELECT CAST(1 AS BIGINT) FROM fulfilments
         WHERE source = $1 AND id <> $2 AND coalesce(delivered_at, 0) = 0 AND created_at > $3",
    )
    .bind(format!("order:{order}"))
    .bind(fulfilment.id)
    .bind(too_old.as_millisecond())
    .fetch_optional(database.pool())
    .await?;
    Ok(before.is_some())
}

/// Records that the queue has the webhook's job.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn enqueued(database: &Database, id: FulfilmentId) -> Result<(), PaymentError> {
    sqlx::query("UPDATE fulfilments SET enqueued_at = $1 WHERE id = $2")
        .bind(Timestamp::now().as_millisecond())
        .bind(id)
        .execute(database.pool())
        .await?;
    Ok(())
}

/// Records that the game server has accepted the webhook.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn delivered(database: &Database, id: FulfilmentId) -> Result<(), PaymentError> {
    sqlx::query(
        "UPDATE fulfilments SET delivered_at = $1 WHERE id = $2 AND coalesce(delivered_at, 0) = 0",
    )
    .bind(Timestamp::now().as_millisecond())
    .bind(id)
    .execute(database.pool())
    .await?;
    Ok(())
}

/// Deletes up to `limit` webhooks that were delivered before `before`, oldest first; returns their number.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn delete_delivered(
    database: &Database,
    before: Timestamp,
    limit: i64,
) -> Result<u64, PaymentError> {
    let deleted = sqlx::query(
        "DELETE FROM fulfilments WHERE id IN
             (SELECT id FROM fulfilments WHERE delivered_at < $1 ORDER BY delivered_at LIMIT $2)",
    )
    .bind(before.as_millisecond())
    .bind(limit)
    .execute(database.pool())
    .await?;
    Ok(deleted.rows_affected())
}
