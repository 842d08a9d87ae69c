//! An order as a row, and as players, operators and the game server see it.

use avalon_wechat::OpenId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};
use utoipa::ToSchema;

use super::platform::PayWith;
use super::status::{Channel, OrderStatus};
use super::virtual_request::{Mode, VirtualRequest};
use super::{PaymentError, damaged};
use crate::base::fen::Fen;
use crate::base::ids::{OrderId, ProductId, UserId};
use crate::base::iso_time;
use crate::storage::database::Database;

/// An order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    /// The order's id, called `orderId` elsewhere.
    #[serde(rename = "_id")]
    #[schema(value_type = String)]
    pub id: OrderId,
    /// The player who pays.
    pub user_id: UserId,
    /// WeChat's id of the player.
    #[schema(value_type = String)]
    pub open_id: OpenId,
    /// The product.
    #[schema(value_type = String)]
    pub product_id: ProductId,
    /// The product's name at the time of the order.
    pub product_name: String,
    /// Number of pieces.
    pub quantity: i64,
    /// Total price, in fen.
    #[schema(value_type = i64)]
    pub total_fee: Fen,
    /// Sum of the successful refunds, in fen.
    #[schema(value_type = i64)]
    pub refunded_fee: Fen,
    /// The payment channel.
    pub channel: Channel,
    /// The state.
    pub status: OrderStatus,
    /// What it is paid with; absent: money.
    #[serde(default, skip_serializing_if = "is_money")]
    pub pay_with: PayWith,
    /// Number of coins that it buys or costs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coins: Option<i64>,
    /// Whether it is a test of virtual payment, without real money; absent: no.
    #[serde(default, skip_serializing_if = "is_false")]
    pub sandbox: bool,
    /// Our number of the order at WeChat (`out_trade_no`), once it may be known there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub wx_order_id: Option<OrderId>,
    /// The channel's offer to pay (WeChat Pay: the `prepay_id`).
    #[serde(rename = "prepayId", default, skip_serializing_if = "Option::is_none")]
    pub offer: Option<String>,
    /// The channel's number of the payment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction_id: Option<String>,
    /// Why the order failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// ISO 8601, UTC.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "iso_time::serialize")]
    pub created_at: Timestamp,
    /// When the order is closed unless it is paid; ISO 8601, UTC.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "iso_time::serialize")]
    pub expires_at: Timestamp,
    /// ISO 8601, UTC.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        serialize_with = "iso_time::serialize_option"
    )]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub paid_at: Option<Timestamp>,
    /// The request to the channel; every repeat sends the same bytes.
    #[serde(skip)]
    pub channel_request: Option<String>,
    /// When the request was first about to be sent, Unix ms; none: the channel does not know the order.
    #[serde(skip)]
    pub submitted_at: Option<i64>,
    /// When the channel made its offer, Unix ms.
    #[serde(skip)]
    pub offered_at: Option<i64>,
    /// Number of periodic queries so far.
    #[serde(skip)]
    pub checks: i64,
    /// When the next query is due, Unix ms; none: no more queries.
    #[serde(skip)]
    pub next_check_at: Option<i64>,
    /// Digest of the request that created the order.
    #[serde(skip)]
    pub(super) request_digest: String,
    #[serde(skip)]
    pub(super) holds_stock: bool,
}

impl Order {
    /// What virtual payment was asked for it.
    pub fn virtual_request(&self) -> Option<VirtualRequest> {
        VirtualRequest::of(self.channel, self.channel_request.as_deref())
    }

    /// Whether its payment grants items: that of coins does not, since WeChat credits them.
    pub fn grants_items(&self) -> bool {
        self.coins.is_none() || self.pay_with == PayWith::Coins
    }
}

fn is_money(with: &PayWith) -> bool {
    *with == PayWith::Money
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// Reads the columns that `sql/order_*.sql` select.
pub(super) fn order_of(row: &AnyRow) -> Result<Order, PaymentError> {
    let time = |column: &str| -> Result<Option<Timestamp>, PaymentError> {
        row.try_get::<Option<i64>, _>(column)?
            .map(|ms| Timestamp::from_millisecond(ms).map_err(|_| damaged(column)))
            .transpose()
    };
    let id: OrderId = row.try_get("id")?;
    let submitted_at: Option<i64> = row.try_get("submitted_at")?;
    let channel: Channel = row.try_get("channel")?;
    let channel_request: Option<String> = row.try_get("channel_request")?;
    let virtual_request = VirtualRequest::of(channel, channel_request.as_deref());
    let virtual_request = virtual_request.as_ref();
    let total_fee: Fen = row.try_get("total_fee")?;
    Ok(Order {
        id,
        user_id: row.try_get("user_id")?,
        open_id: OpenId::new(row.try_get::<String, _>("open_id")?),
        product_id: row.try_get("product_id")?,
        product_name: row.try_get("product_name")?,
        quantity: row.try_get("quantity")?,
        total_fee,
        refunded_fee: row.try_get("refunded_fee")?,
        channel,
        status: row.try_get("status")?,
        pay_with: match virtual_request.map(|request| request.mode) {
            Some(Mode::Spend) => PayWith::Coins,
            // Its request is not stored yet, or never was: only what coins pay costs no money.
            None if channel == Channel::VirtualPayment && total_fee == Fen::ZERO => PayWith::Coins,
            _ => PayWith::Money,
        },
        coins: virtual_request.and_then(VirtualRequest::coins),
        sandbox: virtual_request.is_some_and(VirtualRequest::is_sandbox),
        wx_order_id: submitted_at.map(|_| id),
        offer: row.try_get("offer")?,
        transaction_id: row.try_get("transaction_id")?,
        failure: row.try_get("failure")?,
        created_at: time("created_at")?.ok_or_else(|| damaged("orders.created_at"))?,
        expires_at: time("expires_at")?.ok_or_else(|| damaged("orders.expires_at"))?,
        paid_at: time("paid_at")?,
        channel_request,
        submitted_at,
        offered_at: row.try_get("offered_at")?,
        checks: integer(row, "checks")?,
        next_check_at: row.try_get("next_check_at")?,
        request_digest: row.try_get("request_digest")?,
        holds_stock: super::products::flag(row, "holds_stock")?,
    })
}

/// Reads an integer that is 32 bits wide in Postgres; SQLite's are all 64.
pub(super) fn integer(row: &AnyRow, column: &str) -> Result<i64, PaymentError> {
    match row.try_get::<i64, _>(column) {
        Ok(wide) => Ok(wide),
        Err(_) => Ok(i64::from(row.try_get::<i32, _>(column)?)),
    }
}

const BY_ID: &str = include_str!("sql/order_by_id.sql");

/// Reads an order within a transaction.
pub(super) async fn find(
    connection: &mut AnyConnection,
    id: OrderId,
) -> Result<Option<Order>, PaymentError> {
    let row = sqlx::query(BY_ID)
        .bind(id)
        .fetch_optional(connection)
        .await?;
    row.map(|row| order_of(&row)).transpose()
}

/// Locks an order's row until the end of the transaction, and reads it.
pub(super) async fn lock(
    connection: &mut AnyConnection,
    id: OrderId,
) -> Result<Option<Order>, PaymentError> {
    let row = sqlx::query(include_str!("sql/order_lock.sql"))
        .bind(id)
        .fetch_optional(connection)
        .await?;
    row.map(|row| order_of(&row)).transpose()
}

/// Reads an order.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn by_id(database: &Database, id: OrderId) -> Result<Option<Order>, PaymentError> {
    let row = sqlx::query(BY_ID)
        .bind(id)
        .fetch_optional(database.pool())
        .await?;
    row.map(|row| order_of(&row)).transpose()
}

/// Lists a player's orders that are older than `cursor`, newest first.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn of_user(
    database: &Database,
    user: UserId,
    status: Option<OrderStatus>,
    cursor: Option<OrderId>,
    limit: i64,
) -> Result<Vec<Order>, PaymentError> {
    sqlx::query(include_str!("sql/orders_of_user.sql"))
        .bind(user)
        .bind(status.map_or("", Into::into))
        .bind(cursor.map(|cursor| cursor.to_string()).unwrap_or_default())
        .bind(limit)
        .fetch_all(database.pool())
        .await?
        .iter()
        .map(order_of)
        .collect()
}

/// A transition of an order. States and causes are strings: rows may be older than this version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HistoryEntry {
    /// The new state.
    pub status: String,
    /// What caused the transition.
    pub cause: String,
    /// Unix ms.
    pub at: i64,
}

/// Lists an order's transitions, oldest first.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn history(database: &Database, id: OrderId) -> Result<Vec<HistoryEntry>, PaymentError> {
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
