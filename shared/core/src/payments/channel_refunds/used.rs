//! Players who had used what was refunded.

use jiff::Timestamp;
use sqlx::Row;

use super::super::PaymentError;
use crate::base::ids::UserId;
use crate::base::iso_time;
use crate::storage::database::Database;

/// What a player used up before its payment was refunded.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlayerRefunds {
    /// The player.
    pub open_id: String,
    /// Number of refunds whose items the player had used, in part or all.
    pub refunds: i64,
    /// Number of these items.
    pub items: i64,
    /// When the last one was refunded; ISO 8601, UTC.
    #[serde(serialize_with = "iso_time::serialize")]
    pub last_at: Timestamp,
}

/// Lists players who had used what was refunded since `from`, most items first.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn players(
    database: &Database,
    from: Timestamp,
    limit: i64,
) -> Result<Vec<PlayerRefunds>, PaymentError> {
    let rows = sqlx::query(
        "SELECT orders.open_id AS open_id, count(*) AS refunds,
                CAST(sum(refunds.quantity - refunds.revoked) AS BIGINT) AS items,
                max(refunds.ended_at) AS last_at
         FROM refunds JOIN orders ON orders.id = refunds.order_id
         WHERE refunds.revoked < refunds.quantity AND refunds.ended_at >= $1
           AND refunds.status = 'succeeded'
         GROUP BY orders.open_id ORDER BY items DESC, orders.open_id LIMIT $2",
    )
    .bind(from.as_millisecond())
    .bind(limit)
    .fetch_all(database.pool())
    .await?;
    rows.iter()
        .map(|row| {
            Ok(PlayerRefunds {
                open_id: row.try_get("open_id")?,
                refunds: row.try_get("refunds")?,
                items: row.try_get("items")?,
                last_at: Timestamp::from_millisecond(row.try_get("last_at")?)
                    .map_err(|_| super::super::damaged("refunds.ended_at"))?,
            })
        })
        .collect()
}

/// Whether a player had used what was refunded since `from`.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn has_used_refunded(
    database: &Database,
    user: UserId,
    from: Timestamp,
) -> Result<bool, PaymentError> {
    let found: Option<i64> = sqlx::query_scalar(
        "SELECT CAST(1 AS BIGINT) FROM refunds JOIN orders ON orders.id = refunds.order_id
         WHERE refunds.revoked < refunds.quantity AND refunds.ended_at >= $2
           AND refunds.status = 'succeeded' AND orders.user_id = $1 LIMIT 1",
    )
    .bind(user)
    .bind(from.as_millisecond())
    .fetch_optional(database.pool())
    .await?;
    Ok(found.is_some())
}
