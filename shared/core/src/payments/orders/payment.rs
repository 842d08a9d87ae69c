//! Records payments: the only place that makes an order paid and grants its items.

use std::time::Duration;

use jiff::Timestamp;
use sqlx::AnyConnection;

use super::super::fulfilments::Webhooks;
use super::super::order_rows::{self, Order, order_of};
use super::super::refunds::{self, NewRefund, Refund};
use super::super::status::{Channel, OrderStatus};
use super::super::{Cause, PaymentError, events, inventory};
use super::{move_stock, record, store_webhook};
use crate::analytics::outbox;
use crate::base::fen::Fen;
use crate::base::ids::OrderId;
use crate::storage::database::Database;

/// A payment that the channel reported under its signature.
#[derive(Clone, Debug)]
pub struct Payment {
    /// The channel that reports it, which must be the order's.
    pub channel: Channel,
    /// The channel's number of the payment; none for payments that the channel does not number, such as those
    /// through Apple: then the order's own number identifies the payment.
    pub transaction_id: Option<String>,
    /// The price of the order, coupons included.
    pub total: Fen,
    /// Must be `CNY`.
    pub currency: String,
    /// When the player paid.
    pub at: Timestamp,
}

/// What recording a payment changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Paid {
    /// The order is paid now, and its items granted; with the refund that was decided with it.
    Now(Order, Option<Refund>),
    /// The payment was recorded before.
    Before(Order),
    /// Amount, currency or payment differ from the order's, or the payment was refunded at the channel:
    /// nothing was granted.
    Mismatch(Order),
    /// The order does not exist.
    Unknown,
}

/// Which payments are refunded by the transaction that records them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayBack {
    /// None.
    Never,
    /// That of an order which was closed before.
    Closed,
    /// Any: the player is cancelling the order.
    Always,
}

/// Records a payment and grants the order's items once, whatever state the order had. A payment to pay back
/// is refunded: the same transaction decides the refund and revokes the items, so that no crash separates
/// the two and the player cannot use the items meanwhile. The game server learns of such a payment only if
/// its refund fails.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn pay(
    database: &Database,
    id: OrderId,
    payment: &Payment,
    cause: Cause,
    pay_back: PayBack,
    webhooks: Webhooks,
    now: Timestamp,
) -> Result<Paid, PaymentError> {
    let mut transaction = database.begin().await?;
    let row = sqlx::query(include_str!("../sql/order_pay.sql"))
        .bind(&payment.transaction_id)
        .bind(payment.at.as_millisecond())
        .bind(id)
        .bind(payment.total)
        .bind(&payment.currency)
        .bind(payment.channel)
        .fetch_optional(&mut *transaction)
        .await?;
    let Some(row) = row else {
        return Ok(match order_rows::find(&mut transaction, id).await? {
            None => Paid::Unknown,
            Some(order) if order.status.was_paid() && same_payment(&order, payment) => {
                number_payment(&mut transaction, &order, payment).await?;
                transaction.commit().await?;
                Paid::Before(order)
            }
            Some(order) => Paid::Mismatch(order),
        });
    };
    let mut order = order_of(&row)?;
    // Only an order that has ended has released its stock, and only a failed one has a failure.
    let was_closed = !order.holds_stock && order.failure.is_none();
    // Its stock was released before the payment arrived.
    let takes_stock = !order.holds_stock;
    if takes_stock {
        sqlx::query("UPDATE orders SET holds_stock = 1 WHERE id = $1")
            .bind(id)
            .execute(&mut *transaction)
            .await?;
    }
    let source = format!("order:{id}");
    let (user, product) = (order.user_id, &order.product_id);
    if order.grants_items() {
        inventory::grant(
            &mut transaction,
            user,
            product,
            order.quantity,
            &source,
            now,
        )
        .await?;
    }
    record(&mut transaction, id, OrderStatus::Paid, cause, now).await?;
    outbox::insert(&mut transaction, &events::paid(&order), now).await?;
    let mut refund = None;
    let refunds_it = match pay_back {
        PayBack::Never => false,
        PayBack::Closed => was_closed,
        PayBack::Always => true,
    };
    if !refunds_it {
        let kind = "order.paid";
        store_webhook(&mut transaction, webhooks, &order, kind, &source, now).await?;
    } else {
        let new = NewRefund::of_late_payment(id);
        // A millisecond later, so that the history is in order.
        let then = now.checked_add(Duration::from_millis(1)).unwrap_or(now);
        let decided = refunds::decide(&mut transaction, &order, &new, then).await?;
        order.status = OrderStatus::Refunding;
        refund = Some(decided);
    }
    if takes_stock {
        // The player's money outweighs our count, which may fall below zero.
        move_stock(&mut transaction, &order, -1).await?;
    }
    transaction.commit().await?;
    Ok(Paid::Now(order, refund))
}

/// Records that a payment was refunded before it was processed here: by an operator in the channel's
/// portal, or before this database was restored. The order ends without items and stores the payment's
/// number, so that older reports of the payment grant nothing. Returns the order as it was; none when it
/// was paid here.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn refunded_elsewhere(
    database: &Database,
    id: OrderId,
    transaction_id: Option<&str>,
    now: Timestamp,
) -> Result<Option<Order>, PaymentError> {
    let mut transaction = database.begin().await?;
    let order = order_rows::lock(&mut transaction, id).await?;
    let Some(order) = order.filter(|order| !order.status.was_paid()) else {
        return Ok(None);
    };
    sqlx::query(
        "UPDATE orders SET status = CASE status WHEN 'pending' THEN 'closed' ELSE status END,
                           transaction_id = coalesce(transaction_id, $1), holds_stock = 0,
                           ended_at = coalesce(ended_at, $2), next_check_at = NULL
         WHERE id = $3",
    )
    .bind(transaction_id)
    .bind(now.as_millisecond())
    .bind(id)
    .execute(&mut *transaction)
    .await?;
    if order.status == OrderStatus::Pending {
        let (status, cause) = (OrderStatus::Closed, Cause::RefundedAtChannel);
        record(&mut transaction, id, status, cause, now).await?;
    }
    if order.holds_stock {
        move_stock(&mut transaction, &order, 1).await?;
    }
    transaction.commit().await?;
    Ok(Some(order))
}

fn same_payment(order: &Order, payment: &Payment) -> bool {
    order.channel == payment.channel
        && order.total_fee == payment.total
        && payment.currency == "CNY"
        && match (&order.transaction_id, &payment.transaction_id) {
            (Some(ours), Some(reported)) => ours == reported,
            _ => true,
        }
}

/// Adds the number of a payment that was recorded without it: refunds may name nothing else.
async fn number_payment(
    connection: &mut AnyConnection,
    order: &Order,
    payment: &Payment,
) -> Result<(), PaymentError> {
    if order.transaction_id.is_some() || payment.transaction_id.is_none() {
        return Ok(());
    }
    sqlx::query("UPDATE orders SET transaction_id = $1 WHERE id = $2 AND transaction_id IS NULL")
        .bind(&payment.transaction_id)
        .bind(order.id)
        .execute(connection)
        .await?;
    Ok(())
}
