//! Webhooks to the game server: written in the transaction of what they tell of, sent later.

use std::time::Duration;

use jiff::Timestamp;
use sqlx::Row;

use super::PaymentError;
use crate::storage::database::Database;

/// A webhook to be sent.
#[derive(Clone, Debug)]
pub struct Fulfilment {
    /// Its id, the `webhook-id` of every attempt.
    pub id: String,
    /// Of which order.
    pub order_id: String,
    /// The exact body.
    pub body: String,
    /// Whether it was delivered.
    pub delivered: bool,
}

/// The webhook, if there is one.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn by_id(database: &Database, id: &str) -> Result<Option<Fulfilment>, PaymentError> {
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

/// A webhook that was enqueued this long ago and is not delivered is enqueued again: its job may
/// have been lost with the queue. One that is still there is found by its key.
const ENQUEUE_AGAIN_AFTER_MS: i64 = 15 * 60 * 1000;
/// Nobody is told of what is older than this; its job has become a dead letter, to be replayed.
pub(crate) const TOO_OLD: Duration = Duration::from_secs(72 * 3600);

/// Webhooks that no job may know of, oldest first.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn to_enqueue(database: &Database, limit: i64) -> Result<Vec<String>, PaymentError> {
    let now = Timestamp::now();
    let too_old = now.checked_sub(TOO_OLD).unwrap_or(Timestamp::MIN);
    let rows = sqlx::query(
        "SELECT id FROM fulfilments
         WHERE delivered_at IS NULL AND created_at > $1 AND coalesce(enqueued_at, 0) < $2
         ORDER BY created_at LIMIT $3",
    )
    .bind(too_old.as_millisecond())
    .bind(now.as_millisecond() - ENQUEUE_AGAIN_AFTER_MS)
    .bind(limit)
    .fetch_all(database.pool())
    .await?;
    Ok(rows
        .iter()
        .map(|row| row.try_get("id"))
        .collect::<Result<_, _>>()?)
}

/// Whether it waits for another one: that an order was paid is told before that it was refunded. What
/// nobody tells any more is not waited for.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn waits(database: &Database, fulfilment: &Fulfilment) -> Result<bool, PaymentError> {
    let now = Timestamp::now();
    let too_old = now.checked_sub(TOO_OLD).unwrap_or(Timestamp::MIN);
    let before: Option<i64> = sqlx::query_scalar(
        "SELECT CAST(1 AS BIGINT) FROM fulfilments
         WHERE source = $1 AND id <> $2 AND delivered_at IS NULL AND created_at > $3",
    )
    .bind(format!("order:{}", fulfilment.order_id))
    .bind(&fulfilment.id)
    .bind(too_old.as_millisecond())
    .fetch_optional(database.pool())
    .await?;
    Ok(before.is_some())
}

/// A job for it is in the queue.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn enqueued(database: &Database, id: &str) -> Result<(), PaymentError> {
    sqlx::query("UPDATE fulfilments SET enqueued_at = $1 WHERE id = $2")
        .bind(Timestamp::now().as_millisecond())
        .bind(id)
        .execute(database.pool())
        .await?;
    Ok(())
}

/// The game server has taken it.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn delivered(database: &Database, id: &str) -> Result<(), PaymentError> {
    sqlx::query("UPDATE fulfilments SET delivered_at = $1 WHERE id = $2 AND delivered_at IS NULL")
        .bind(Timestamp::now().as_millisecond())
        .bind(id)
        .execute(database.pool())
        .await?;
    Ok(())
}

/// Deletes the oldest of those that were delivered before `before`, at most `limit`; answers how many.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn forget(
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
