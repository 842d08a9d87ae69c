//! What becomes of a refund when the channel tells of it: the money is back and the goods are taken, or
//! it is closed and the order is as paid as before.

use jiff::Timestamp;
use sqlx::AnyConnection;

use super::order_rows::{Order, order_of};
use super::orders::{move_stock, tell};
use super::refunds::{Refund, refund_of, set_status, sums};
use super::status::{OrderStatus, RefundStatus};
use super::{PaymentError, events, inventory};
use crate::analytics::outbox;
use crate::storage::database::Database;

/// What the channel has told of a refund did; answers the refund, and the order when that changed.
/// Without `channel_refund_id` it is no signed word. One that ended here on such a word is opened
/// again by a signed one.
///
/// # Errors
/// [`PaymentError::UnknownOrder`] and [`PaymentError::Database`].
pub async fn told(
    database: &Database,
    id: &str,
    status: RefundStatus,
    channel_refund_id: Option<&str>,
    now: Timestamp,
) -> Result<(Refund, Option<Order>), PaymentError> {
    let mut transaction = database.begin().await?;
    let order_id: Option<String> = sqlx::query_scalar("SELECT order_id FROM refunds WHERE id = $1")
        .bind(id)
        .fetch_optional(&mut *transaction)
        .await?;
    let order_id = order_id.ok_or(PaymentError::UnknownOrder)?;
    // The order's row first, as in every change of refunds: no two wait for each other.
    let row = sqlx::query("UPDATE orders SET checks = checks WHERE id = $1 RETURNING *")
        .bind(&order_id)
        .fetch_one(&mut *transaction)
        .await?;
    let order = order_of(&row)?;
    let row = sqlx::query("SELECT * FROM refunds WHERE id = $1")
        .bind(id)
        .fetch_one(&mut *transaction)
        .await?;
    let refund = refund_of(&row)?;
    // A closed one too: it is opened again, or that it is closed is signed now.
    let follows = match channel_refund_id {
        Some(_) => refund.status.may_become(status) || refund.is_closed_unheard(),
        None => refund.status.may_become(status) && refund.channel_refund_id.is_none(),
    };
    // Never more than was paid: another one may have taken the place of one that was closed.
    let fits = status == RefundStatus::Closed
        || order.refunded_fee + refund.amount <= order.total_fee.get();
    if !follows || !fits {
        return Ok((refund, None));
    }
    let ended = matches!(status, RefundStatus::Succeeded | RefundStatus::Closed);
    let changed = match status {
        RefundStatus::Succeeded => Some(succeed(&mut transaction, &order, &refund, now).await?),
        _ => stands(&mut transaction, &order, &refund, ended, now)
            .await?
            .map(|order| (order, None)),
    };
    let revoked = match status {
        RefundStatus::Succeeded => changed.as_ref().and_then(|(_, revoked)| *revoked),
        RefundStatus::Closed => {
            let as_it_is = changed.as_ref().map_or(&order, |(order, _)| order);
            give_back(&mut transaction, as_it_is, &refund, now).await?;
            None
        }
        _ => refund.revoked,
    };
    let row = sqlx::query(
        "UPDATE refunds SET status = $1, channel_refund_id = coalesce($2, channel_refund_id),
                            revoked = $3, ended_at = $4,
                            next_check_at = CASE WHEN $5 = 1 THEN NULL
                                            ELSE coalesce(next_check_at, CAST($6 AS BIGINT)) END
         WHERE id = $7 RETURNING *",
    )
    .bind(status.as_str())
    .bind(channel_refund_id)
    .bind(revoked)
    .bind(ended.then_some(now.as_millisecond()))
    .bind(i32::from(ended))
    .bind(now.as_millisecond())
    .bind(id)
    .fetch_one(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok((refund_of(&row)?, changed.map(|(order, _)| order)))
}

/// The money is not back: the order is being refunded, or is as paid as before. None: it stays what
/// it is.
async fn stands(
    connection: &mut AnyConnection,
    order: &Order,
    refund: &Refund,
    ended: bool,
    now: Timestamp,
) -> Result<Option<Order>, PaymentError> {
    let was_closed = refund.status == RefundStatus::Closed;
    let (status, cause) = match order.status {
        OrderStatus::Refunding if ended && !was_closed => (OrderStatus::Paid, "refund closed"),
        OrderStatus::Paid if was_closed && !ended => {
            let (under_way, _) = sums(connection, &order.id, "under way").await?;
            if order.refunded_fee + under_way + refund.amount < order.total_fee.get() {
                return Ok(None);
            }
            (OrderStatus::Refunding, "refund opened again")
        }
        _ => return Ok(None),
    };
    set_status(connection, &order.id, status, cause, now).await?;
    let order = order.clone();
    Ok(Some(Order { status, ..order }))
}

/// The money is back: counts it, takes the goods, tells the game server.
async fn succeed(
    connection: &mut AnyConnection,
    order: &Order,
    refund: &Refund,
    now: Timestamp,
) -> Result<(Order, Option<i64>), PaymentError> {
    let source = format!("refund:{}", refund.refund_id);
    let (user, product) = (order.user_id, &order.product_id);
    // Less than it was to take, when it was closed here and another one has taken them meanwhile.
    let (_, taken) = sums(connection, &order.id, "done").await?;
    let goods = refund.quantity.min(order.quantity - taken).max(0);
    let revoked = match refund.revoked {
        Some(at_once) => at_once,
        None => inventory::revoke(connection, user, product, goods, &source, now).await?,
    };
    let refunded_fee = order.refunded_fee + refund.amount;
    let full = refunded_fee == order.total_fee.get();
    // What else is under way: this one's row says so until the end of this transaction, unless it
    // was closed.
    let (under_way, _) = sums(connection, &order.id, "under way").await?;
    let rest = match refund.status {
        RefundStatus::Closed => under_way,
        _ => under_way - refund.amount,
    };
    let status = match order.status {
        _ if full => OrderStatus::Refunded,
        // Another part has failed meanwhile: not all of it is being paid back any more.
        OrderStatus::Refunding if refunded_fee + rest < order.total_fee.get() => OrderStatus::Paid,
        status => status,
    };
    let row = sqlx::query(
        "UPDATE orders SET refunded_fee = $1, holds_stock = $2 WHERE id = $3 RETURNING *",
    )
    .bind(refunded_fee)
    .bind(i16::from(!full))
    .bind(&order.id)
    .fetch_one(&mut *connection)
    .await?;
    let mut changed = order_of(&row)?;
    changed.status = status;
    if full {
        move_stock(connection, order, 1).await?;
    }
    set_status(connection, &order.id, status, "refund succeeded", now).await?;
    outbox::insert(connection, &events::refunded(&changed, refund), now).await?;
    if full {
        tell(connection, &changed, "order.refunded", &source, now).await?;
    }
    Ok((changed, Some(revoked)))
}

/// The money does not go back: gives again what was taken at once, and tells the game server of the
/// payment, of which it may not have heard.
async fn give_back(
    connection: &mut AnyConnection,
    order: &Order,
    refund: &Refund,
    now: Timestamp,
) -> Result<(), PaymentError> {
    let Some(taken) = refund.revoked else {
        return Ok(());
    };
    if taken > 0 {
        let source = format!("refund:{}:closed", refund.refund_id);
        let (user, product) = (order.user_id, &order.product_id);
        inventory::grant(connection, user, product, taken, &source, now).await?;
    }
    let source = format!("order:{}", order.id);
    tell(connection, order, "order.paid", &source, now).await
}
