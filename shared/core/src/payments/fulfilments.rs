//! Webhooks to the game server: written in the transaction of what they tell of, sent later.

use jiff::Timestamp;
use sqlx::Row;

use super::PaymentError;
use crate::database::Database;

/// A webhook to be sent.
#[derive(Clone, Debug)]
pub struct Fulfilment {
    /// Its id, the `webhook-id` of every attempt.
    pub id: String,
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
    let row = sqlx::query("SELECT id, body, delivered_at FROM fulfilments WHERE id = $1")
        .bind(id)
        .fetch_optional(database.pool())
        .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Fulfilment {
        id: row.try_get("id")?,
        body: row.try_get("body")?,
        delivered: row.try_get::<Option<i64>, _>("delivered_at")?.is_some(),
    }))
}

/// Webhooks that no job knows of yet, oldest first.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn not_enqueued(database: &Database, limit: i64) -> Result<Vec<String>, PaymentError> {
    let rows = sqlx::query(
        "SELECT id FROM fulfilments WHERE delivered_at IS NULL AND enqueued = 0
         ORDER BY created_at LIMIT $1",
    )
    .bind(limit)
    .fetch_all(database.pool())
    .await?;
    Ok(rows
        .iter()
        .map(|row| row.try_get("id"))
        .collect::<Result<_, _>>()?)
}

/// A job for it is in the queue.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn enqueued(database: &Database, id: &str) -> Result<(), PaymentError> {
    sqlx::query("UPDATE fulfilments SET enqueued = 1 WHERE id = $1")
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
