//! Deletes shares that are too old for the funnel. Invitations stay: a player is attributed once for ever.

use jiff::Timestamp;

use crate::storage::database::{Database, DatabaseError};

/// Deletes up to `limit` shares that were issued before `before`, with their events; returns their number.
///
/// # Errors
/// The database's.
pub async fn delete_old(
    database: &Database,
    before: Timestamp,
    limit: i64,
) -> Result<u64, DatabaseError> {
    let mut transaction = database.begin().await?;
    sqlx::query(
        "DELETE FROM share_events WHERE share_id IN
             (SELECT id FROM shares WHERE created_at < $1 ORDER BY created_at, id LIMIT $2)",
    )
    .bind(before.as_millisecond())
    .bind(limit)
    .execute(&mut *transaction)
    .await?;
    let deleted = sqlx::query(
        "DELETE FROM shares WHERE id IN
             (SELECT id FROM shares WHERE created_at < $1 ORDER BY created_at, id LIMIT $2)",
    )
    .bind(before.as_millisecond())
    .bind(limit)
    .execute(&mut *transaction)
    .await?
    .rows_affected();
    transaction.commit().await?;
    Ok(deleted)
}
