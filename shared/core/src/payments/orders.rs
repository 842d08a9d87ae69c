//! The changes of an order: its creation, its payment and its end in files of their own; here what the
//! channel is sent, when it is queried, and the writes that several changes share. Each change is one
//! transaction whose first statement locks the order's row (a creation: the player), so that concurrent
//! changes run one after another, and repeating it changes nothing. Its last statement is that of the stock:
//! all orders of a product wait for its row, which is therefore held only until the commit. That order of
//! locks is the same everywhere.

mod creation;
mod ending;
mod holds;
mod order_writer;
mod payment;
mod payment_writer;

use jiff::Timestamp;
use sqlx::AnyConnection;
use ulid::Ulid;

use super::fulfilments::Webhooks;
use super::order_rows::Order;
use super::status::{Channel, OrderStatus};
use super::virtual_request::VirtualRequest;
use super::{Cause, PaymentError, virtual_orders};
use crate::base::ids::{FulfilmentId, OrderId};
use crate::base::iso_time::IsoTime;
use crate::storage::database::Database;

pub use creation::{NewOrder, create};
pub use ending::{end_unpaid, finish_checks};
pub use holds::HoldRules;
pub use order_writer::{Created, OrderWriter};
pub use payment::{Paid, PayBack, Payment, pay, refunded_elsewhere};
pub use payment_writer::{PaymentWriter, ReportedPayment};

/// Stores the request to the channel before it is first sent, and returns the one that was stored first.
/// `None` when the order has ended meanwhile: the request must not be sent any more.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn store_request(
    database: &Database,
    id: OrderId,
    request: &str,
    now: Timestamp,
) -> Result<Option<String>, PaymentError> {
    const STORE: &str = "UPDATE orders SET channel_request = coalesce(channel_request, $1),
                           submitted_at = coalesce(submitted_at, $2)
         WHERE id = $3 AND status = 'pending' RETURNING channel_request";
    let store = sqlx::query_scalar(STORE)
        .bind(request)
        .bind(now.as_millisecond())
        .bind(id);
    if !asks_sandbox(request) {
        return Ok(store.fetch_optional(database.pool()).await?);
    }
    let mut transaction = database.begin().await?;
    let stored: Option<String> = store.fetch_optional(&mut *transaction).await?;
    if stored.as_deref() == Some(request) {
        virtual_orders::mark_sandbox(&mut transaction, id).await?;
    }
    transaction.commit().await?;
    Ok(stored)
}

/// Whether a request asks for a test. Requests of other channels than virtual payment have no environment.
fn asks_sandbox(request: &str) -> bool {
    let asks = VirtualRequest::of(Channel::VirtualPayment, Some(request));
    asks.is_some_and(|it| it.is_sandbox())
}

/// Stores the channel's offer, and returns the order's state, which may have changed meanwhile.
///
/// # Errors
/// [`PaymentError::UnknownOrder`] and [`PaymentError::Database`].
pub async fn store_offer(
    database: &Database,
    id: OrderId,
    offer: Option<&str>,
    now: Timestamp,
) -> Result<OrderStatus, PaymentError> {
    sqlx::query_scalar(
        "UPDATE orders SET prepay_id = coalesce($1, prepay_id), prepaid_at = $2 WHERE id = $3
         RETURNING status",
    )
    .bind(offer)
    .bind(now.as_millisecond())
    .bind(id)
    .fetch_optional(database.pool())
    .await?
    .ok_or(PaymentError::UnknownOrder)
}

/// Lists orders whose query is due, the longest overdue first.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn due_checks(
    database: &Database,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<OrderId>, PaymentError> {
    Ok(sqlx::query_scalar(
        "SELECT id FROM orders WHERE next_check_at <= $1 ORDER BY next_check_at LIMIT $2",
    )
    .bind(now.as_millisecond())
    .bind(limit)
    .fetch_all(database.pool())
    .await?)
}

/// Counts a query of a pending order, and schedules the next one.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn checked(
    database: &Database,
    id: OrderId,
    next: Timestamp,
) -> Result<(), PaymentError> {
    sqlx::query(
        "UPDATE orders SET checks = checks + 1, next_check_at = $1
         WHERE id = $2 AND status = 'pending'",
    )
    .bind(next.as_millisecond())
    .bind(id)
    .execute(database.pool())
    .await?;
    Ok(())
}

/// Returns an order's stock (1) or takes it (-1); touches no product that has none.
pub(super) async fn move_stock(
    connection: &mut AnyConnection,
    order: &Order,
    sign: i64,
) -> Result<(), PaymentError> {
    sqlx::query("UPDATE products SET stock = stock + $1 WHERE id = $2 AND stock IS NOT NULL")
        .bind(order.quantity * sign)
        .bind(&order.product_id)
        .execute(connection)
        .await?;
    Ok(())
}

/// Appends a transition to the order's history.
pub(super) async fn record(
    connection: &mut AnyConnection,
    id: OrderId,
    status: OrderStatus,
    cause: Cause,
    now: Timestamp,
) -> Result<(), PaymentError> {
    sqlx::query(
        "INSERT INTO order_history (id, order_id, status, cause, at) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(Ulid::generate().to_string())
    .bind(id)
    .bind(status)
    .bind(cause.as_str())
    .bind(now.as_millisecond())
    .execute(connection)
    .await?;
    Ok(())
}

/// Sets the order's state and appends it to the history.
pub(super) async fn set_status(
    connection: &mut AnyConnection,
    id: OrderId,
    status: OrderStatus,
    cause: Cause,
    now: Timestamp,
) -> Result<(), PaymentError> {
    sqlx::query("UPDATE orders SET status = $1 WHERE id = $2")
        .bind(status)
        .bind(id)
        .execute(&mut *connection)
        .await?;
    record(connection, id, status, cause, now).await
}

/// Stores a webhook to the game server with the change that it reports. `source` allows it once.
pub(super) async fn store_webhook(
    connection: &mut AnyConnection,
    webhooks: Webhooks,
    order: &Order,
    kind: &str,
    source: &str,
    now: Timestamp,
) -> Result<(), PaymentError> {
    if webhooks == Webhooks::Off {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO fulfilments (id, order_id, type, source, body, created_at)
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (source) DO NOTHING",
    )
    .bind(FulfilmentId::new())
    .bind(order.id)
    .bind(kind)
    .bind(source)
    .bind(webhook_body(order, kind, now))
    .bind(now.as_millisecond())
    .execute(connection)
    .await?;
    Ok(())
}

/// The body of a webhook about an order.
fn webhook_body(order: &Order, kind: &str, now: Timestamp) -> String {
    serde_json::json!({"type": kind, "timestamp": IsoTime(now), "data": order}).to_string()
}
