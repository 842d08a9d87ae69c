//! What operators ask about orders: lists by what is known of them, and sums over a time.

use jiff::Timestamp;
use serde::Serialize;
use sqlx::Row;

use super::PaymentError;
use super::order_rows::{Order, order_of};
use super::status::OrderStatus;
use crate::storage::database::Database;

/// Which orders.
#[derive(Clone, Debug, Default)]
pub struct OrderFilter {
    /// In this state.
    pub status: Option<OrderStatus>,
    /// Of this player.
    pub open_id: Option<String>,
    /// Made at this time or later.
    pub from: Option<Timestamp>,
    /// Made before this time.
    pub to: Option<Timestamp>,
    /// Older than this order.
    pub cursor: Option<String>,
    /// At most so many.
    pub limit: i64,
}

/// Orders, newest first.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn orders(database: &Database, filter: &OrderFilter) -> Result<Vec<Order>, PaymentError> {
    sqlx::query(
        "SELECT * FROM orders
         WHERE ($1 = '' OR status = $1) AND ($2 = '' OR open_id = $2)
           AND created_at >= $3 AND created_at < $4 AND ($5 = '' OR id < $5)
         ORDER BY id DESC LIMIT $6",
    )
    .bind(filter.status.map_or("", OrderStatus::as_str))
    .bind(filter.open_id.as_deref().unwrap_or_default())
    .bind(filter.from.map_or(i64::MIN, Timestamp::as_millisecond))
    .bind(filter.to.map_or(i64::MAX, Timestamp::as_millisecond))
    .bind(filter.cursor.as_deref().unwrap_or_default())
    .bind(filter.limit)
    .fetch_all(database.pool())
    .await?
    .iter()
    .map(order_of)
    .collect()
}

/// Sums of the orders in one state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusSum {
    /// The state.
    pub status: String,
    /// How many orders.
    pub orders: i64,
    /// What they cost, in fen.
    pub total_fee: i64,
    /// What was paid back, in fen.
    pub refunded_fee: i64,
}

/// Sums of the orders that were made in a time, by state.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn sums(
    database: &Database,
    from: Timestamp,
    to: Timestamp,
) -> Result<Vec<StatusSum>, PaymentError> {
    let rows = sqlx::query(
        "SELECT status, count(*) AS orders, CAST(sum(total_fee) AS BIGINT) AS total_fee,
                CAST(sum(refunded_fee) AS BIGINT) AS refunded_fee
         FROM orders WHERE created_at >= $1 AND created_at < $2 GROUP BY status ORDER BY status",
    )
    .bind(from.as_millisecond())
    .bind(to.as_millisecond())
    .fetch_all(database.pool())
    .await?;
    rows.iter()
        .map(|row| {
            Ok(StatusSum {
                status: row.try_get("status")?,
                orders: row.try_get("orders")?,
                total_fee: row.try_get("total_fee")?,
                refunded_fee: row.try_get("refunded_fee")?,
            })
        })
        .collect()
}
