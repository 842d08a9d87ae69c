//! Refunds that happened at the channel, by an operator of its console or by the platform, and that it merely
//! reports. They may be reported before the payment is known, and then take effect with it.

mod used;

use jiff::{SignedDuration, Timestamp};
use sqlx::{AnyConnection, Row};

use super::fulfilments::Webhooks;
use super::order_rows::{self, Order};
use super::refunds::{self, NewRefund, Refund};
use super::status::{Channel, RefundStatus};
use super::{PaymentError, refund_outcomes};
use crate::base::fen::Fen;
use crate::base::ids::OrderId;
use crate::storage::database::Database;

pub use used::{PlayerRefunds, has_used_refunded, players};

/// A refund as the channel reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportedRefund {
    /// The channel's number of the refund, which identifies it.
    pub refund_id: String,
    /// The order's number at the channel.
    pub out_trade_no: Option<String>,
    /// The channel's number of the payment.
    pub transaction_id: Option<String>,
    /// The amount.
    pub amount: Fen,
    /// Who decided it, for operators.
    pub source: String,
}

/// What a report changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refunded {
    /// The refund is recorded and its items are revoked.
    Now(Box<Order>, Box<Refund>),
    /// It was recorded before.
    Before,
    /// Its payment is not known here, or not yet: it takes effect with the payment.
    Waits,
    /// It is more than is left of the payment; nothing was changed.
    TooMuch(Box<Order>),
}

/// Records a refund. Repeating it changes nothing.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn report(
    database: &Database,
    reported: &ReportedRefund,
    webhooks: Webhooks,
    now: Timestamp,
) -> Result<Refunded, PaymentError> {
    sqlx::query(
        "INSERT INTO channel_refunds (id, out_trade_no, transaction_id, amount, source, at)
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (id) DO NOTHING",
    )
    .bind(&reported.refund_id)
    .bind(&reported.out_trade_no)
    .bind(&reported.transaction_id)
    .bind(reported.amount)
    .bind(&reported.source)
    .bind(now.as_millisecond())
    .execute(database.pool())
    .await?;
    apply(database, &reported.refund_id, webhooks, now).await
}

/// Lists refunds that wait for this payment.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn waiting_for(
    database: &Database,
    out_trade_no: &str,
    transaction_id: Option<&str>,
) -> Result<Vec<String>, PaymentError> {
    Ok(sqlx::query_scalar(
        "SELECT id FROM channel_refunds WHERE order_id IS NULL AND out_trade_no = $1
         UNION
         SELECT id FROM channel_refunds
         WHERE order_id IS NULL AND transaction_id = $2 AND out_trade_no IS NULL",
    )
    .bind(out_trade_no)
    .bind(transaction_id.unwrap_or_default())
    .fetch_all(database.pool())
    .await?)
}

/// Lists refunds that waited for a payment which is recorded by now: the process that recorded it has stopped
/// before it applied them. The payment is found like [`apply`] finds it: by our number of the order, the store's
/// number, or the channel's number of the payment.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn overdue(database: &Database, limit: i64) -> Result<Vec<String>, PaymentError> {
    // By the order's number, by that of the store, by that of the payment.
    Ok(
        sqlx::query_scalar(include_str!("sql/channel_refunds_overdue.sql"))
            .bind(limit)
            .fetch_all(database.pool())
            .await?,
    )
}

/// Applies a stored report if its payment is known.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn apply(
    database: &Database,
    refund_id: &str,
    webhooks: Webhooks,
    now: Timestamp,
) -> Result<Refunded, PaymentError> {
    let mut transaction = database.begin().await?;
    let row = sqlx::query(
        "SELECT out_trade_no, transaction_id, amount, source, order_id
         FROM channel_refunds WHERE id = $1",
    )
    .bind(refund_id)
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(row) = row else {
        return Ok(Refunded::Waits);
    };
    if row.try_get::<Option<String>, _>("order_id")?.is_some() {
        return Ok(Refunded::Before);
    }
    let (number, payment): (Option<String>, Option<String>) =
        (row.try_get("out_trade_no")?, row.try_get("transaction_id")?);
    let id = order_of(&mut transaction, number.as_deref(), payment.as_deref()).await?;
    // Like every change of refunds, this locks the order first.
    let order = match id {
        Some(id) => order_rows::lock(&mut transaction, id).await?,
        None => None,
    };
    let Some(order) = order.filter(|order| order.status.was_paid()) else {
        return Ok(Refunded::Waits);
    };
    let new = NewRefund {
        order_id: order.id,
        amount: Some(row.try_get("amount")?),
        quantity: (!order.grants_items()).then_some(0),
        reason: format!(
            "refunded at the channel ({})",
            row.try_get::<String, _>("source")?
        ),
        // No client can send it: an `Idempotency-Key` has no spaces.
        idempotency_key: format!("channel {refund_id}"),
        request_digest: "channel".to_owned(),
    };
    // Another report of it may have been applied while this one waited for the order.
    let claimed = sqlx::query(
        "UPDATE channel_refunds SET order_id = $1 WHERE id = $2 AND coalesce(order_id, '') = ''",
    )
    .bind(order.id)
    .bind(refund_id)
    .execute(&mut *transaction)
    .await?;
    if claimed.rows_affected() == 0 {
        return Ok(Refunded::Before);
    }
    let refund = match refunds::decide(&mut transaction, &order, &new, now).await {
        Ok(refund) => refund,
        // Examined: it is not tried again.
        Err(PaymentError::TooMuch | PaymentError::StateForbids(_)) => {
            transaction.commit().await?;
            return Ok(Refunded::TooMuch(Box::new(order)));
        }
        Err(error) => return Err(error),
    };
    // A millisecond later, so that the history is in order.
    let then = now
        .checked_add(SignedDuration::from_millis(1))
        .unwrap_or(now);
    let report = refund_outcomes::Report {
        status: RefundStatus::Succeeded,
        channel_refund_id: Some(refund_id),
    };
    let applied =
        refund_outcomes::apply_in(&mut transaction, refund.refund_id, report, webhooks, then)
            .await?;
    let (refund, changed) = applied;
    transaction.commit().await?;
    Ok(Refunded::Now(
        Box::new(changed.unwrap_or(order)),
        Box::new(refund),
    ))
}

async fn order_of(
    connection: &mut AnyConnection,
    out_trade_no: Option<&str>,
    transaction_id: Option<&str>,
) -> Result<Option<OrderId>, PaymentError> {
    if let Some(number) = out_trade_no {
        // The store's numbers may look like ours.
        let own = sqlx::query_scalar("SELECT id FROM orders WHERE id = $1");
        let own: Option<OrderId> = own.bind(number).fetch_optional(&mut *connection).await?;
        if own.is_some() {
            return Ok(own);
        }
        let store = sqlx::query_scalar("SELECT order_id FROM store_orders WHERE out_trade_no = $1");
        let store: Option<OrderId> = store.bind(number).fetch_optional(&mut *connection).await?;
        if store.is_some() {
            return Ok(store);
        }
    }
    let Some(payment) = transaction_id else {
        return Ok(None);
    };
    Ok(
        sqlx::query_scalar("SELECT id FROM orders WHERE channel = $1 AND transaction_id = $2")
            .bind(Channel::VirtualPayment)
            .bind(payment)
            .fetch_optional(connection)
            .await?,
    )
}
