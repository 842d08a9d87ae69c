//! What a channel's report of a refund changes: the money has arrived, or the refund is closed, the order is paid
//! as before, and the items are the player's again.

use jiff::Timestamp;
use sqlx::AnyConnection;

use super::fulfilments::Webhooks;
use super::order_rows::{self, Order};
use super::orders::{move_stock, set_status, store_webhook};
use super::refunds::{self, Refund, Sums, refund_of, sums};
use super::status::{Channel, OrderStatus, RefundStatus};
use super::{Cause, PaymentError, events, refund_items};
use crate::analytics::outbox;
use crate::base::fen::Fen;
use crate::base::ids::{OrderId, RefundId};
use crate::storage::database::Database;

/// Applies a report of a refund. Returns the refund, and the order if it changed. A report without
/// `channel_refund_id` is unsigned; a refund that was closed by such a report is reopened by a signed one.
///
/// # Errors
/// [`PaymentError::UnknownOrder`] and [`PaymentError::Database`].
pub async fn apply(
    database: &Database,
    id: RefundId,
    status: RefundStatus,
    channel_refund_id: Option<&str>,
    webhooks: Webhooks,
    now: Timestamp,
) -> Result<(Refund, Option<Order>), PaymentError> {
    let report = Report {
        status,
        channel_refund_id,
    };
    let mut transaction = database.begin().await?;
    let applied = apply_in(&mut transaction, id, report, webhooks, now).await?;
    transaction.commit().await?;
    Ok(applied)
}

/// A report of a refund's state.
#[derive(Clone, Copy)]
pub(super) struct Report<'a> {
    pub(super) status: RefundStatus,
    pub(super) channel_refund_id: Option<&'a str>,
}

/// Applies a report within a transaction.
pub(super) async fn apply_in(
    transaction: &mut AnyConnection,
    id: RefundId,
    report: Report<'_>,
    webhooks: Webhooks,
    now: Timestamp,
) -> Result<(Refund, Option<Order>), PaymentError> {
    let Report {
        status,
        channel_refund_id,
    } = report;
    let order_id: Option<OrderId> =
        sqlx::query_scalar("SELECT order_id FROM refunds WHERE id = $1")
            .bind(id)
            .fetch_optional(&mut *transaction)
            .await?;
    let order_id = order_id.ok_or(PaymentError::UnknownOrder)?;
    // Like every change of refunds, this locks the order's row first, so that no two changes deadlock.
    let order = order_rows::lock(transaction, order_id).await?;
    let order = order.ok_or(PaymentError::UnknownOrder)?;
    let row = sqlx::query(refunds::BY_ID)
        .bind(id)
        .fetch_one(&mut *transaction)
        .await?;
    let refund = refund_of(&row)?;
    // Also a closed one: the signed report reopens it, or confirms that it is closed.
    let follows = match channel_refund_id {
        Some(_) => refund.status.may_become(status) || refund.is_closed_unconfirmed(),
        None => refund.status.may_become(status) && refund.channel_refund_id.is_none(),
    };
    // Never more than was paid: another refund may have replaced one that was closed.
    let fits = status == RefundStatus::Closed || with(&order, &refund)? <= order.total_fee;
    if !follows || !fits {
        return Ok((refund, None));
    }
    let ended = matches!(status, RefundStatus::Succeeded | RefundStatus::Closed);
    let changed = match status {
        RefundStatus::Succeeded => {
            Some(succeed(transaction, &order, &refund, webhooks, now).await?)
        }
        _ => adjust_order(transaction, &order, &refund, ended, now)
            .await?
            .map(|order| (order, None)),
    };
    let revoked = match status {
        RefundStatus::Succeeded => changed.as_ref().and_then(|(_, revoked)| *revoked),
        RefundStatus::Closed => {
            refund_items::give_back(transaction, &order, &refund, now).await?;
            let current = changed.as_ref().map_or(&order, |(order, _)| order);
            if refund.automatic && current.status == OrderStatus::Paid {
                // The webhook of the payment was withheld: the payment stands after all.
                let source = format!("order:{order_id}");
                let kind = "order.paid";
                store_webhook(transaction, webhooks, current, kind, &source, now).await?;
            }
            None
        }
        // Reopened: what is decided again takes effect again.
        _ if refund.status == RefundStatus::Closed => {
            Some(refund_items::take(transaction, &order, &refund, now).await?)
        }
        _ => refund.revoked,
    };
    let row = sqlx::query(include_str!("sql/refund_apply.sql"))
        .bind(status)
        .bind(channel_refund_id)
        .bind(revoked)
        .bind(ended.then_some(now.as_millisecond()))
        .bind(i32::from(ended))
        .bind(now.as_millisecond())
        .bind(id)
        .fetch_one(&mut *transaction)
        .await?;
    if changed
        .as_ref()
        .is_some_and(|(changed, _)| order.holds_stock && !changed.holds_stock)
    {
        move_stock(transaction, &order, 1).await?;
    }
    Ok((refund_of(&row)?, changed.map(|(order, _)| order)))
}

/// Returns what is refunded of the order once this refund has succeeded.
fn with(order: &Order, refund: &Refund) -> Result<Fen, PaymentError> {
    let sum = order.refunded_fee.checked_add(refund.amount);
    sum.ok_or(PaymentError::Amount)
}

/// Updates the order for a refund that has not succeeded: it is being refunded, or is paid as before.
/// `None` when its state stays.
async fn adjust_order(
    connection: &mut AnyConnection,
    order: &Order,
    refund: &Refund,
    ended: bool,
    now: Timestamp,
) -> Result<Option<Order>, PaymentError> {
    let was_closed = refund.status == RefundStatus::Closed;
    let (status, cause) = match order.status {
        OrderStatus::Refunding if ended && !was_closed => (OrderStatus::Paid, Cause::RefundClosed),
        OrderStatus::Paid if was_closed && !ended => {
            let in_progress = sums(connection, order.id, Sums::InProgress).await?;
            let sum = with(order, refund)?.checked_add(in_progress.amount);
            if sum.is_some_and(|sum| sum < order.total_fee) {
                return Ok(None);
            }
            (OrderStatus::Refunding, Cause::RefundReopened)
        }
        _ => return Ok(None),
    };
    set_status(connection, order.id, status, cause, now).await?;
    let order = order.clone();
    Ok(Some(Order { status, ..order }))
}

/// The money has arrived: counts it and stores the webhook.
async fn succeed(
    connection: &mut AnyConnection,
    order: &Order,
    refund: &Refund,
    webhooks: Webhooks,
    now: Timestamp,
) -> Result<(Order, Option<i64>), PaymentError> {
    let revoked = match refund.revoked {
        Some(at_once) => at_once,
        None => refund_items::take(connection, order, refund, now).await?,
    };
    let refunded_fee = with(order, refund)?;
    let full = refunded_fee == order.total_fee;
    let status = match order.status {
        _ if full => OrderStatus::Refunded,
        OrderStatus::Refunding => after_part(connection, order, refund, refunded_fee).await?,
        status => status,
    };
    let holds_stock = !full;
    sqlx::query("UPDATE orders SET refunded_fee = $1, holds_stock = $2 WHERE id = $3")
        .bind(refunded_fee)
        .bind(i16::from(holds_stock))
        .bind(order.id)
        .execute(&mut *connection)
        .await?;
    let changed = Order {
        refunded_fee,
        holds_stock,
        status,
        ..order.clone()
    };
    set_status(connection, order.id, status, Cause::RefundSucceeded, now).await?;
    outbox::insert(connection, &events::refunded(&changed, refund), now).await?;
    // Parts were never reported for WeChat Pay, where our own operator decides them.
    if full || order.channel == Channel::VirtualPayment {
        let source = format!("refund:{}", refund.refund_id);
        let kind = "order.refunded";
        store_webhook(connection, webhooks, &changed, kind, &source, now).await?;
    }
    Ok((changed, Some(revoked)))
}

/// Returns the state of an order in refund of which one part has succeeded: paid, if another part has
/// failed meanwhile, so that not all of it is being refunded any more.
async fn after_part(
    connection: &mut AnyConnection,
    order: &Order,
    refund: &Refund,
    refunded_fee: Fen,
) -> Result<OrderStatus, PaymentError> {
    let in_progress = sums(connection, order.id, Sums::InProgress).await?.amount;
    // The succeeded refund's own row counts as in progress until this transaction ends, unless it was
    // closed.
    let others = match refund.status {
        RefundStatus::Closed => Some(in_progress),
        _ => in_progress.checked_sub(refund.amount),
    };
    let expected = others.and_then(|others| refunded_fee.checked_add(others));
    let expected = expected.ok_or(PaymentError::Amount)?;
    Ok(if expected < order.total_fee {
        OrderStatus::Paid
    } else {
        OrderStatus::Refunding
    })
}
