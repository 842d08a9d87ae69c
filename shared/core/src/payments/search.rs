//! What operators ask about orders: filtered lists, and sums over a period.

use avalon_wechat::OpenId;
use jiff::Timestamp;
use serde::Serialize;
use sqlx::Row;

use super::PaymentError;
use super::order_rows::{Order, order_of};
use super::status::OrderStatus;
use crate::base::fen::Fen;
use crate::storage::database::Database;

/// Which orders to list.
#[derive(Clone, Debug, Default)]
pub struct OrderFilter {
    /// Only orders in this state.
    pub status: Option<OrderStatus>,
    /// Only orders of this player.
    pub open_id: Option<OpenId>,
    /// Only orders created at this time or later.
    pub from: Option<Timestamp>,
    /// Only orders created before this time.
    pub to: Option<Timestamp>,
    /// Only orders older than the one with this id, which is not checked.
    pub cursor: Option<String>,
    /// Maximum number of orders.
    pub limit: i64,
}

/// Lists orders, newest first.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn orders(database: &Database, filter: &OrderFilter) -> Result<Vec<Order>, PaymentError> {
    sqlx::query(include_str!("sql/orders_search.sql"))
        .bind(filter.status.map_or("", Into::into))
        .bind(filter.open_id.as_ref().map_or("", OpenId::as_str))
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
    pub status: OrderStatus,
    /// Number of orders.
    pub orders: i64,
    /// Their total price.
    pub total_fee: Fen,
    /// Sum of their successful refunds.
    pub refunded_fee: Fen,
}

/// Sums the orders that were created in a period, by state, without tests of virtual payment, which
/// `sandbox_orders` lists ([`super::virtual_orders::mark_sandbox`]).
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
         FROM orders WHERE created_at >= $1 AND created_at < $2
           AND NOT EXISTS (SELECT order_id FROM sandbox_orders WHERE order_id = orders.id)
         GROUP BY status ORDER BY status",
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
