//! Decides refunds: what may be refunded, and which items are revoked for it.

use jiff::Timestamp;
use sqlx::AnyConnection;

use super::super::order_rows::{self, Order};
use super::super::orders::set_status;
use super::super::status::{OrderStatus, RefundStatus};
use super::super::{Cause, PaymentError, refund_items};
use super::{Refund, Sums, refund_of, sums};
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

/// The key of an automatic refund. No client can send it: an `Idempotency-Key` has no spaces.
const LATE_PAYMENT: &str = "late payment";
/// The key that earlier versions gave to automatic refunds. They alone have an empty digest.
const LATE_PAYMENT_BEFORE: &str = "late-payment";

/// Whether a refund was decided without an operator.
pub(super) fn is_automatic(key: &str, digest: &str) -> bool {
    key.starts_with(LATE_PAYMENT) || (key.starts_with(LATE_PAYMENT_BEFORE) && digest.is_empty())
}

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

/// Decides a refund and revokes its items, within a transaction that has locked the order. An automatic refund
/// is refused when the player no longer has all of its items.
pub(in super::super) async fn decide(
    connection: &mut AnyConnection,
    order: &Order,
    new: &NewRefund,
    now: Timestamp,
) -> Result<Refund, PaymentError> {
    let late = is_automatic(&new.idempotency_key, &new.request_digest);
    let mut key = new.idempotency_key.clone();
    if late
        && by_key(connection, new.order_id, LATE_PAYMENT_BEFORE)
            .await?
            .is_some_and(|refund| refund.request_digest.is_empty())
    {
        LATE_PAYMENT_BEFORE.clone_into(&mut key);
    }
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
                   channel_refund_id, checks, request_digest, idempotency_key",
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
    let revoked = refund_items::take_at_once(connection, order, &refund, now).await?;
    if late && revoked < quantity {
        // The player has used the items meanwhile, and keeps them.
        return Err(PaymentError::StateForbids(order.status));
    }
    refund.revoked = Some(revoked);
    Ok(refund)
}

async fn by_key(
    connection: &mut AnyConnection,
    order: OrderId,
    key: &str,
) -> Result<Option<Refund>, PaymentError> {
    let row = sqlx::query(
        "SELECT id, order_id, amount, quantity, reason, status, revoked, channel_request,
                channel_refund_id, checks, request_digest, idempotency_key
         FROM refunds WHERE order_id = $1 AND idempotency_key = $2",
    )
    .bind(order)
    .bind(key)
    .fetch_optional(connection)
    .await?;
    row.map(|row| refund_of(&row)).transpose()
}
