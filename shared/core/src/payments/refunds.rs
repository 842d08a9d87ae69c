//! Refunds of paid orders, full and partial, from their decision on. What becomes of them, and of the
//! goods that they take back, is in [`super::refund_ends`].

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};
use ulid::Ulid;
use utoipa::ToSchema;

use super::order_rows::{Order, integer, order_of};
use super::orders::note;
use super::status::{OrderStatus, RefundStatus};
use super::{PaymentError, damaged, inventory};
use crate::storage::database::Database;

/// What an operator wants to pay back.
#[derive(Clone, Debug)]
pub struct NewRefund {
    /// Of which order.
    pub order_id: String,
    /// In fen; none: all that is left.
    pub amount: Option<i64>,
    /// Goods to take back; none: all when all is paid back, else none.
    pub quantity: Option<i64>,
    /// Shown to the player.
    pub reason: String,
    /// The same key of the same order gives the same refund.
    pub idempotency_key: String,
    /// Of the request: the same key with another digest is refused.
    pub request_digest: String,
}

/// The key of a refund that nobody has asked for in so many words. It takes the goods at once, and not
/// when the money is back: the player has them only since a moment, and did not want them.
const LATE_PAYMENT: &str = "late-payment";

impl NewRefund {
    /// Of a payment that came when its order was closed, or that won against its cancellation: all of
    /// it, once.
    pub fn of_late_payment(order_id: &str) -> Self {
        Self {
            order_id: order_id.to_owned(),
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
    /// Also our number of it at WeChat (`out_refund_no`).
    pub refund_id: String,
    /// Of which order.
    pub order_id: String,
    /// In fen.
    pub amount: i64,
    /// Goods to take back.
    pub quantity: i64,
    /// Shown to the player.
    pub reason: String,
    /// Where it stands.
    pub status: RefundStatus,
    /// Goods that were taken back; fewer than `quantity` when the player had used some up. Before the
    /// refund's end: they were taken at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<i64>,
    /// What is sent to the channel.
    #[serde(skip)]
    pub channel_request: Option<String>,
    /// The channel's number of it; each of its signed words has one.
    #[serde(skip)]
    pub channel_refund_id: Option<String>,
    /// How often the channel was asked.
    #[serde(skip)]
    pub checks: i64,
    #[serde(skip)]
    request_digest: String,
}

impl Refund {
    /// Whether it was closed here while the channel had never told of it under its signature: it may
    /// have been on its way then.
    pub fn is_closed_unheard(&self) -> bool {
        self.status == RefundStatus::Closed && self.channel_refund_id.is_none()
    }
}

pub(super) fn refund_of(row: &AnyRow) -> Result<Refund, PaymentError> {
    let status: String = row.try_get("status")?;
    Ok(Refund {
        refund_id: row.try_get("id")?,
        order_id: row.try_get("order_id")?,
        amount: row.try_get("amount")?,
        quantity: row.try_get("quantity")?,
        reason: row.try_get("reason")?,
        status: status.parse().map_err(|_| damaged("refunds.status"))?,
        revoked: row.try_get("revoked")?,
        channel_request: row.try_get("channel_request")?,
        channel_refund_id: row.try_get("channel_refund_id")?,
        checks: integer(row, "checks")?,
        request_digest: row.try_get("request_digest")?,
    })
}

/// Decides a refund; or finds the one that the same key decided.
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
    // Takes the order's row, so that refunds of one order are decided one after the other.
    let row = sqlx::query("UPDATE orders SET checks = checks WHERE id = $1 RETURNING *")
        .bind(&new.order_id)
        .fetch_optional(&mut *transaction)
        .await?;
    let order = order_of(&row.ok_or(PaymentError::UnknownOrder)?)?;
    let refund = decide(&mut transaction, &order, new, now).await?;
    transaction.commit().await?;
    Ok(refund)
}

/// Inside a transaction that has the order's row.
pub(super) async fn decide(
    connection: &mut AnyConnection,
    order: &Order,
    new: &NewRefund,
    now: Timestamp,
) -> Result<Refund, PaymentError> {
    let late = new.idempotency_key == LATE_PAYMENT;
    let mut key = new.idempotency_key.clone();
    while let Some(refund) = by_key(connection, &new.order_id, &key).await? {
        if refund.request_digest != new.request_digest {
            return Err(PaymentError::KeyReused);
        }
        // Nobody can ask for this one by another key: when WeChat has closed it, a new one is made.
        let closed_there =
            refund.status == RefundStatus::Closed && refund.channel_refund_id.is_some();
        if !late || !closed_there {
            return Ok(refund);
        }
        key = format!("{LATE_PAYMENT}:{}", refund.refund_id);
    }
    if order.status != OrderStatus::Paid {
        return Err(PaymentError::StateForbids(order.status));
    }
    let (under_way, goods_under_way) = sums(connection, &order.id, "under way").await?;
    let left = order.total_fee.get() - order.refunded_fee - under_way;
    let amount = new.amount.unwrap_or(left);
    if amount <= 0 || amount > left {
        return Err(PaymentError::TooMuch);
    }
    let (_, goods_taken) = sums(connection, &order.id, "done").await?;
    let goods_left = order.quantity - goods_under_way - goods_taken;
    // Once all that is under way has succeeded.
    let full = amount == left;
    let quantity = new.quantity.unwrap_or(if full { goods_left } else { 0 });
    if quantity < 0 || quantity > goods_left {
        return Err(PaymentError::TooMuch);
    }
    let row = sqlx::query(
        "INSERT INTO refunds (id, order_id, amount, quantity, reason, status, idempotency_key,
                              request_digest, created_at, next_check_at)
         VALUES ($1, $2, $3, $4, $5, 'requested', $6, $7, $8, $8) RETURNING *",
    )
    .bind(Ulid::generate().to_string())
    .bind(&order.id)
    .bind(amount)
    .bind(quantity)
    .bind(&new.reason)
    .bind(&key)
    .bind(&new.request_digest)
    .bind(now.as_millisecond())
    .fetch_one(&mut *connection)
    .await?;
    if full {
        set_status(connection, &order.id, OrderStatus::Refunding, "refund", now).await?;
    }
    let mut refund = refund_of(&row)?;
    if late {
        refund.revoked = Some(take_at_once(connection, order, &refund, now).await?);
    }
    Ok(refund)
}

async fn by_key(
    connection: &mut AnyConnection,
    order: &str,
    key: &str,
) -> Result<Option<Refund>, PaymentError> {
    sqlx::query("SELECT * FROM refunds WHERE order_id = $1 AND idempotency_key = $2")
        .bind(order)
        .bind(key)
        .fetch_optional(connection)
        .await?
        .map(|row| refund_of(&row))
        .transpose()
}

/// Takes the goods before the money is back; answers how many.
async fn take_at_once(
    connection: &mut AnyConnection,
    order: &Order,
    refund: &Refund,
    now: Timestamp,
) -> Result<i64, PaymentError> {
    let source = format!("refund:{}:at-once", refund.refund_id);
    let (user, product) = (order.user_id, &order.product_id);
    let taken = inventory::revoke(connection, user, product, refund.quantity, &source, now).await?;
    sqlx::query("UPDATE refunds SET revoked = $1 WHERE id = $2")
        .bind(taken)
        .bind(&refund.refund_id)
        .execute(connection)
        .await?;
    Ok(taken)
}

/// Fen and goods of the order's refunds that are under way, or done.
pub(super) async fn sums(
    connection: &mut AnyConnection,
    order: &str,
    which: &str,
) -> Result<(i64, i64), PaymentError> {
    let row = sqlx::query(
        "SELECT CAST(coalesce(sum(amount), 0) AS BIGINT) AS money,
                CAST(coalesce(sum(quantity), 0) AS BIGINT) AS goods
         FROM refunds WHERE order_id = $1
           AND ((status IN ('requested', 'processing', 'abnormal') AND $2 = 'under way')
                OR (status = 'succeeded' AND $2 = 'done'))",
    )
    .bind(order)
    .bind(which)
    .fetch_one(connection)
    .await?;
    Ok((row.try_get("money")?, row.try_get("goods")?))
}

pub(super) async fn set_status(
    connection: &mut AnyConnection,
    order: &str,
    status: OrderStatus,
    cause: &str,
    now: Timestamp,
) -> Result<(), PaymentError> {
    sqlx::query("UPDATE orders SET status = $1 WHERE id = $2")
        .bind(status.as_str())
        .bind(order)
        .execute(&mut *connection)
        .await?;
    note(connection, order, status, cause, now).await
}

/// The refunds of an order, oldest first.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn of_order(database: &Database, order: &str) -> Result<Vec<Refund>, PaymentError> {
    sqlx::query("SELECT * FROM refunds WHERE order_id = $1 ORDER BY id")
        .bind(order)
        .fetch_all(database.pool())
        .await?
        .iter()
        .map(refund_of)
        .collect()
}

/// The refund, if there is one.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn by_id(database: &Database, id: &str) -> Result<Option<Refund>, PaymentError> {
    sqlx::query("SELECT * FROM refunds WHERE id = $1")
        .bind(id)
        .fetch_optional(database.pool())
        .await?
        .map(|row| refund_of(&row))
        .transpose()
}

/// Keeps what will be sent to the channel, before it is sent first; answers what was kept first.
///
/// # Errors
/// [`PaymentError::UnknownOrder`] and [`PaymentError::Database`].
pub async fn keep_request(
    database: &Database,
    id: &str,
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

/// Refunds that the channel is to be told of or asked about, soonest first.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn due_checks(
    database: &Database,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<String>, PaymentError> {
    let rows = sqlx::query(
        "SELECT id FROM refunds WHERE next_check_at <= $1 ORDER BY next_check_at LIMIT $2",
    )
    .bind(now.as_millisecond())
    .bind(limit)
    .fetch_all(database.pool())
    .await?;
    Ok(rows
        .iter()
        .map(|row| row.try_get("id"))
        .collect::<Result<_, _>>()?)
}

/// The channel is being asked; it is asked again at `next`.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn checked(database: &Database, id: &str, next: Timestamp) -> Result<(), PaymentError> {
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
