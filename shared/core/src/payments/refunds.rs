//! Refunds of paid orders, full and partial, up to their submission. Their outcomes, and the items that
//! they revoke, are in [`super::refund_outcomes`].

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};
use utoipa::ToSchema;

use super::order_rows::{self, Order, integer};
use super::orders::set_status;
use super::status::{OrderStatus, RefundStatus};
use super::{Cause, PaymentError, inventory};
use crate::base::fen::Fen;
use crate::base::ids::{OrderId, RefundId};
use crate::storage::database::Database;

/// A refund that was requested.
#[derive(Clone, Debug)]
pub struct NewRefund {
    /// The order.
    pub order_id: OrderId,
    /// The amount; none: the rest of the order.
    pub amount: Option<Fen>,
    /// Items to revoke; none: all items with a full refund, otherwise none.
    pub quantity: Option<i64>,
    /// Shown to the player.
    pub reason: String,
    /// The same key of the same order gives the same refund.
    pub idempotency_key: String,
    /// Digest of the request: the same key with another digest is refused.
    pub request_digest: String,
}

/// The key of an automatic refund. It revokes the items at once and not when the money arrives: the
/// player has just received them without wanting them.
const LATE_PAYMENT: &str = "late-payment";

impl NewRefund {
    /// The full refund of a payment that arrived after the order was closed, or that beat its cancellation.
    /// An order has at most one.
    pub fn of_late_payment(order_id: OrderId) -> Self {
        Self {
            order_id,
            amount: None,
            quantity: None,
            reason: "paid after it was cancelled".to_owned(),
            idempotency_key: LATE_PAYMENT.to_owned(),
            request_digest: String::new(),
        }
    }
}

/// A refund.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Refund {
    /// Also the refund's number at the channel (WeChat Pay: `out_refund_no`).
    #[schema(value_type = String)]
    pub refund_id: RefundId,
    /// The order.
    #[schema(value_type = String)]
    pub order_id: OrderId,
    /// In fen.
    #[schema(value_type = i64)]
    pub amount: Fen,
    /// Items to revoke.
    pub quantity: i64,
    /// Shown to the player.
    pub reason: String,
    /// The state.
    pub status: RefundStatus,
    /// Items that were revoked; fewer than `quantity` when the player had consumed some. Set before the
    /// refund has ended: they were revoked at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<i64>,
    /// The request to the channel; every repeat sends the same bytes.
    #[serde(skip)]
    pub channel_request: Option<String>,
    /// The channel's number of the refund; every signed report has it.
    #[serde(skip)]
    pub channel_refund_id: Option<String>,
    /// Number of queries so far.
    #[serde(skip)]
    pub checks: i64,
    #[serde(skip)]
    request_digest: String,
}

impl Refund {
    /// Whether it was closed here without any signed report of the channel: its request may have been in
    /// flight.
    pub fn is_closed_unconfirmed(&self) -> bool {
        self.status == RefundStatus::Closed && self.channel_refund_id.is_none()
    }
}

pub(super) fn refund_of(row: &AnyRow) -> Result<Refund, PaymentError> {
    Ok(Refund {
        refund_id: row.try_get("id")?,
        order_id: row.try_get("order_id")?,
        amount: row.try_get("amount")?,
        quantity: row.try_get("quantity")?,
        reason: row.try_get("reason")?,
        status: row.try_get("status")?,
        revoked: row.try_get("revoked")?,
        channel_request: row.try_get("channel_request")?,
        channel_refund_id: row.try_get("channel_refund_id")?,
        checks: integer(row, "checks")?,
        request_digest: row.try_get("request_digest")?,
    })
}

/// Decides a refund, or finds the one with the same key.
///
/// # Errors
/// [`PaymentError::UnknownOrder`], [`PaymentError::StateForbids`], [`PaymentError::TooMuch`],
/// [`PaymentError::KeyReused`] and [`PaymentError::Database`].
pub async fn request(
    database: &Database,
    new: &NewRefund,
    now: Timestamp,
) -> Result<Refund, PaymentError> {
    let mut transaction = database.begin().await?;
    // The lock makes refunds of one order decide one after another.
    let order = order_rows::lock(&mut transaction, new.order_id).await?;
    let order = order.ok_or(PaymentError::UnknownOrder)?;
    let refund = decide(&mut transaction, &order, new, now).await?;
    transaction.commit().await?;
    Ok(refund)
}

/// Decides a refund within a transaction that has locked the order.
pub(super) async fn decide(
    connection: &mut AnyConnection,
    order: &Order,
    new: &NewRefund,
    now: Timestamp,
) -> Result<Refund, PaymentError> {
    let late = new.idempotency_key == LATE_PAYMENT;
    let mut key = new.idempotency_key.clone();
    while let Some(refund) = by_key(connection, new.order_id, &key).await? {
        if refund.request_digest != new.request_digest {
            return Err(PaymentError::KeyReused);
        }
        // No client can request an automatic refund under another key: when the channel has closed it, a
        // new one is created.
        let closed_by_channel =
            refund.status == RefundStatus::Closed && refund.channel_refund_id.is_some();
        if !late || !closed_by_channel {
            return Ok(refund);
        }
        key = format!("{LATE_PAYMENT}:{}", refund.refund_id);
    }
    if order.status != OrderStatus::Paid {
        return Err(PaymentError::StateForbids(order.status));
    }
    let in_progress = sums(connection, order.id, Sums::InProgress).await?;
    let left = order
        .total_fee
        .checked_sub(order.refunded_fee)
        .and_then(|left| left.checked_sub(in_progress.amount))
        .ok_or(PaymentError::TooMuch)?;
    let amount = new.amount.unwrap_or(left);
    if amount == Fen::ZERO || amount > left {
        return Err(PaymentError::TooMuch);
    }
    let done = sums(connection, order.id, Sums::Succeeded).await?;
    let items_left = order.quantity - in_progress.items - done.items;
    // Once everything in progress has succeeded.
    let full = amount == left;
    let quantity = new.quantity.unwrap_or(if full { items_left } else { 0 });
    if quantity < 0 || quantity > items_left {
        return Err(PaymentError::TooMuch);
    }
    let row = sqlx::query(
        "INSERT INTO refunds (id, order_id, amount, quantity, reason, status, idempotency_key,
                              request_digest, created_at, next_check_at)
         VALUES ($1, $2, $3, $4, $5, 'requested', $6, $7, $8, $8)
         RETURNING id, order_id, amount, quantity, reason, status, revoked, channel_request,
                   channel_refund_id, checks, request_digest",
    )
    .bind(RefundId::new())
    .bind(order.id)
    .bind(amount)
    .bind(quantity)
    .bind(&new.reason)
    .bind(&key)
    .bind(&new.request_digest)
    .bind(now.as_millisecond())
    .fetch_one(&mut *connection)
    .await?;
    if full {
        let (status, cause) = (OrderStatus::Refunding, Cause::RefundRequested);
        set_status(connection, order.id, status, cause, now).await?;
    }
    let mut refund = refund_of(&row)?;
    if late {
        refund.revoked = Some(revoke_at_once(connection, order, &refund, now).await?);
    }
    Ok(refund)
}

async fn by_key(
    connection: &mut AnyConnection,
    order: OrderId,
    key: &str,
) -> Result<Option<Refund>, PaymentError> {
    let row = sqlx::query(
        "SELECT id, order_id, amount, quantity, reason, status, revoked, channel_request,
                channel_refund_id, checks, request_digest
         FROM refunds WHERE order_id = $1 AND idempotency_key = $2",
    )
    .bind(order)
    .bind(key)
    .fetch_optional(connection)
    .await?;
    row.map(|row| refund_of(&row)).transpose()
}

/// Revokes the items before the money has arrived, and returns their number.
async fn revoke_at_once(
    connection: &mut AnyConnection,
    order: &Order,
    refund: &Refund,
    now: Timestamp,
) -> Result<i64, PaymentError> {
    let source = format!("refund:{}:at-once", refund.refund_id);
    let (user, product) = (order.user_id, &order.product_id);
    let revoked =
        inventory::revoke(connection, user, product, refund.quantity, &source, now).await?;
    sqlx::query("UPDATE refunds SET revoked = $1 WHERE id = $2")
        .bind(revoked)
        .bind(refund.refund_id)
        .execute(connection)
        .await?;
    Ok(revoked)
}

/// Which refunds of an order are summed.
#[derive(Clone, Copy)]
pub(super) enum Sums {
    InProgress,
    Succeeded,
}

/// Sums of an order's refunds.
pub(super) struct RefundSums {
    pub(super) amount: Fen,
    pub(super) items: i64,
}

/// Sums the order's refunds that are in progress, or that succeeded.
pub(super) async fn sums(
    connection: &mut AnyConnection,
    order: OrderId,
    which: Sums,
) -> Result<RefundSums, PaymentError> {
    let row = sqlx::query(
        "SELECT CAST(coalesce(sum(amount), 0) AS BIGINT) AS amount,
                CAST(coalesce(sum(quantity), 0) AS BIGINT) AS items
         FROM refunds WHERE order_id = $1
           AND ((status IN ('requested', 'processing', 'abnormal') AND $2 = 'in progress')
                OR (status = 'succeeded' AND $2 = 'succeeded'))",
    )
    .bind(order)
    .bind(match which {
        Sums::InProgress => "in progress",
        Sums::Succeeded => "succeeded",
    })
    .fetch_one(connection)
    .await?;
    Ok(RefundSums {
        amount: row.try_get("amount")?,
        items: row.try_get("items")?,
    })
}

/// Lists the refunds of an order, oldest first.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn of_order(database: &Database, order: OrderId) -> Result<Vec<Refund>, PaymentError> {
    sqlx::query(
        "SELECT id, order_id, amount, quantity, reason, status, revoked, channel_request,
                channel_refund_id, checks, request_digest
         FROM refunds WHERE order_id = $1 ORDER BY id",
    )
    .bind(order)
    .fetch_all(database.pool())
    .await?
    .iter()
    .map(refund_of)
    .collect()
}

pub(super) const BY_ID: &str =
    "SELECT id, order_id, amount, quantity, reason, status, revoked, channel_request,
            channel_refund_id, checks, request_digest
     FROM refunds WHERE id = $1";

/// Reads a refund.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn by_id(database: &Database, id: RefundId) -> Result<Option<Refund>, PaymentError> {
    let row = sqlx::query(BY_ID)
        .bind(id)
        .fetch_optional(database.pool())
        .await?;
    row.map(|row| refund_of(&row)).transpose()
}

/// Stores the request to the channel before it is first sent, and returns the one that was stored first.
///
/// # Errors
/// [`PaymentError::UnknownOrder`] and [`PaymentError::Database`].
pub async fn store_request(
    database: &Database,
    id: RefundId,
    request: &str,
) -> Result<String, PaymentError> {
    sqlx::query_scalar::<_, String>(
        "UPDATE refunds SET channel_request = coalesce(channel_request, $1) WHERE id = $2
         RETURNING channel_request",
    )
    .bind(request)
    .bind(id)
    .fetch_optional(database.pool())
    .await?
    .ok_or(PaymentError::UnknownOrder)
}

/// Lists refunds whose submission or query is due, the longest overdue first.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn due_checks(
    database: &Database,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<RefundId>, PaymentError> {
    Ok(sqlx::query_scalar(
        "SELECT id FROM refunds WHERE next_check_at <= $1 ORDER BY next_check_at LIMIT $2",
    )
    .bind(now.as_millisecond())
    .bind(limit)
    .fetch_all(database.pool())
    .await?)
}

/// Counts a query, and schedules the next one.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn checked(
    database: &Database,
    id: RefundId,
    next: Timestamp,
) -> Result<(), PaymentError> {
    sqlx::query(
        "UPDATE refunds SET checks = checks + 1, next_check_at = $1
         WHERE id = $2 AND ended_at IS NULL",
    )
    .bind(next.as_millisecond())
    .bind(id)
    .execute(database.pool())
    .await?;
    Ok(())
}
