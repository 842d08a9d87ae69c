//! Refunds of paid orders, full and partial: their rows, and when they are queried. Decisions are in
//! `request`, outcomes in [`super::refund_outcomes`].

mod request;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};
use utoipa::ToSchema;

use super::PaymentError;
use super::order_rows::integer;
use super::status::RefundStatus;
use crate::base::fen::Fen;
use crate::base::ids::{OrderId, RefundId};
use crate::storage::database::Database;

pub(super) use request::decide;
pub use request::{NewRefund, request};

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
    /// Items that were revoked when the refund was decided; fewer than `quantity` when the player had
    /// consumed some. None once the refund has failed: they were granted again.
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
    /// Whether it was decided without an operator, for a payment that the player did not want any more.
    #[serde(skip)]
    pub(super) automatic: bool,
}

impl Refund {
    /// Whether it was closed here without any signed report of the channel: its request may have been in
    /// flight.
    pub fn is_closed_unconfirmed(&self) -> bool {
        self.status == RefundStatus::Closed && self.channel_refund_id.is_none()
    }
}

pub(super) fn refund_of(row: &AnyRow) -> Result<Refund, PaymentError> {
    let (key, request_digest): (String, String) = (
        row.try_get("idempotency_key")?,
        row.try_get("request_digest")?,
    );
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
        automatic: request::is_automatic(&key, &request_digest),
        request_digest,
    })
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
                channel_refund_id, checks, request_digest, idempotency_key
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
            channel_refund_id, checks, request_digest, idempotency_key
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
