//! An order as a row and as players, operators and the game server see it.

use avalon_wechat::pay::Fen;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};
use utoipa::ToSchema;

use super::status::{Channel, OrderStatus};
use super::{PaymentError, damaged};
use crate::base::ids::UserId;
use crate::storage::database::Database;

/// An order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    /// The order's id, called `orderId` elsewhere.
    #[serde(rename = "_id")]
    pub id: String,
    /// The player who pays.
    pub user_id: UserId,
    /// WeChat's id of the player.
    pub open_id: String,
    /// What is bought.
    pub product_id: String,
    /// Its name when it was ordered.
    pub product_name: String,
    /// How many.
    pub quantity: i64,
    /// What it costs in all, in fen.
    #[schema(value_type = i64)]
    pub total_fee: Fen,
    /// What was paid back of it, in fen.
    pub refunded_fee: i64,
    /// Through what it is paid.
    pub channel: Channel,
    /// Where it stands.
    pub status: OrderStatus,
    /// Our number of it at WeChat (`out_trade_no`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wx_order_id: Option<String>,
    /// WeChat's number of the offer to pay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prepay_id: Option<String>,
    /// WeChat's number of the payment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction_id: Option<String>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// ISO 8601, UTC.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it is closed unless it is paid; ISO 8601, UTC.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
    /// ISO 8601, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub paid_at: Option<Timestamp>,
    /// What is sent to the channel.
    #[serde(skip)]
    pub channel_request: Option<String>,
    /// Whether the channel may know it.
    #[serde(skip)]
    pub submitted_at: Option<i64>,
    /// When the offer to pay was made, Unix ms: it ends after two hours.
    #[serde(skip)]
    pub prepaid_at: Option<i64>,
    /// How often the channel was asked whether it was paid.
    #[serde(skip)]
    pub checks: i64,
    /// When it is asked next, Unix ms; none: not any more.
    #[serde(skip)]
    pub next_check_at: Option<i64>,
    /// Digest of the request that made it.
    #[serde(skip)]
    pub(super) request_digest: String,
    #[serde(skip)]
    pub(super) holds_stock: bool,
}

pub(super) fn order_of(row: &AnyRow) -> Result<Order, PaymentError> {
    let time = |column: &str| -> Result<Option<Timestamp>, PaymentError> {
        row.try_get::<Option<i64>, _>(column)?
            .map(|ms| Timestamp::from_millisecond(ms).map_err(|_| damaged(column)))
            .transpose()
    };
    let word = |column: &str| row.try_get::<String, _>(column);
    let id: String = row.try_get("id")?;
    let submitted_at: Option<i64> = row.try_get("submitted_at")?;
    Ok(Order {
        user_id: word("user_id")?
            .parse()
            .map_err(|_| damaged("orders.user_id"))?,
        open_id: row.try_get("open_id")?,
        product_id: row.try_get("product_id")?,
        product_name: row.try_get("product_name")?,
        quantity: row.try_get("quantity")?,
        total_fee: Fen::new(row.try_get("total_fee")?).map_err(|_| damaged("orders.total_fee"))?,
        refunded_fee: row.try_get("refunded_fee")?,
        channel: word("channel")?
            .parse()
            .map_err(|_| damaged("orders.channel"))?,
        status: word("status")?
            .parse()
            .map_err(|_| damaged("orders.status"))?,
        wx_order_id: submitted_at.map(|_| id.clone()),
        prepay_id: row.try_get("prepay_id")?,
        transaction_id: row.try_get("transaction_id")?,
        failure: row.try_get("failure")?,
        created_at: time("created_at")?.ok_or_else(|| damaged("orders.created_at"))?,
        expires_at: time("expires_at")?.ok_or_else(|| damaged("orders.expires_at"))?,
        paid_at: time("paid_at")?,
        channel_request: row.try_get("channel_request")?,
        submitted_at,
        prepaid_at: row.try_get("prepaid_at")?,
        checks: integer(row, "checks")?,
        next_check_at: row.try_get("next_check_at")?,
        request_digest: row.try_get("request_digest")?,
        holds_stock: super::products::flag(row, "holds_stock")?,
        id,
    })
}

/// SQLite's integers are all 64 bits wide, some of Postgres' are 32.
pub(super) fn integer(row: &AnyRow, column: &str) -> Result<i64, PaymentError> {
    match row.try_get::<i64, _>(column) {
        Ok(wide) => Ok(wide),
        Err(_) => Ok(i64::from(row.try_get::<i32, _>(column)?)),
    }
}

/// The order, if there is one.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn find(connection: &mut AnyConnection, id: &str) -> Result<Option<Order>, PaymentError> {
    sqlx::query("SELECT * FROM orders WHERE id = $1")
        .bind(id)
        .fetch_optional(connection)
        .await?
        .map(|row| order_of(&row))
        .transpose()
}

/// The order, if there is one.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn by_id(database: &Database, id: &str) -> Result<Option<Order>, PaymentError> {
    sqlx::query("SELECT * FROM orders WHERE id = $1")
        .bind(id)
        .fetch_optional(database.pool())
        .await?
        .map(|row| order_of(&row))
        .transpose()
}

/// A player's orders, newest first, after `cursor` (an order's id).
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn of_user(
    database: &Database,
    user: UserId,
    status: Option<OrderStatus>,
    cursor: Option<&str>,
    limit: i64,
) -> Result<Vec<Order>, PaymentError> {
    sqlx::query(
        "SELECT * FROM orders
         WHERE user_id = $1 AND ($2 = '' OR status = $2) AND ($3 = '' OR id < $3)
         ORDER BY id DESC LIMIT $4",
    )
    .bind(user.to_string())
    .bind(status.map_or("", OrderStatus::as_str))
    .bind(cursor.unwrap_or_default())
    .bind(limit)
    .fetch_all(database.pool())
    .await?
    .iter()
    .map(order_of)
    .collect()
}

/// One step of an order's life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HistoryEntry {
    /// The state that it came to.
    pub status: String,
    /// What brought it there.
    pub cause: String,
    /// When, Unix ms.
    pub at: i64,
}

/// The order's life so far, oldest first.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn history(database: &Database, id: &str) -> Result<Vec<HistoryEntry>, PaymentError> {
    sqlx::query("SELECT status, cause, at FROM order_history WHERE order_id = $1 ORDER BY at, id")
        .bind(id)
        .fetch_all(database.pool())
        .await?
        .iter()
        .map(|row| {
            Ok(HistoryEntry {
                status: row.try_get("status")?,
                cause: row.try_get("cause")?,
                at: row.try_get("at")?,
            })
        })
        .collect()
}
