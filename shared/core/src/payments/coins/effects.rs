//! What a confirmed change of coins brings about, in one transaction with its confirmation: a spend makes its
//! order paid and grants the items, a return of everything takes them back.

use jiff::Timestamp;
use sqlx::AnyConnection;

use super::super::fulfilments::Webhooks;
use super::super::order_rows::{self, Order};
use super::super::orders::{move_stock, set_status, store_webhook};
use super::super::status::OrderStatus;
use super::super::{Cause, PaymentError, events, inventory};
use super::{BY_ID, CoinChange, CoinChangeKind, CoinChangeState, NewCoinChange, change_of};
use crate::analytics::outbox;
use crate::base::ids::{FulfilmentId, OrderId};
use crate::base::iso_time::IsoTime;
use crate::storage::database::Database;

/// Records that WeChat has applied a change, with all that follows. Returns the order that it has changed; the
/// second time changes nothing.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn confirm(
    database: &Database,
    change: &CoinChange,
    balance: Option<i64>,
    webhooks: Webhooks,
    now: Timestamp,
) -> Result<Option<Order>, PaymentError> {
    let mut transaction = database.begin().await?;
    // Like every change of an order, this locks it first.
    let order = match change.order_id {
        Some(id) => order_rows::lock(&mut transaction, id).await?,
        None => None,
    };
    let confirmed = sqlx::query(
        "UPDATE coin_changes SET state = 'done', ended_at = $1, next_try_at = NULL,
                                 key_version = NULL, balance = coalesce($2, balance)
         WHERE id = $3 AND state IN ('pending', 'unsettled')",
    )
    .bind(now.as_millisecond())
    .bind(balance)
    .bind(&change.id)
    .execute(&mut *transaction)
    .await?;
    if confirmed.rows_affected() == 0 {
        return Ok(None);
    }
    let row = sqlx::query(BY_ID)
        .bind(&change.id)
        .fetch_one(&mut *transaction)
        .await?;
    let change = change_of(&row)?;
    let changed = match (change.kind, order) {
        (CoinChangeKind::Spend, Some(order)) => {
            Some(pay(&mut transaction, order, webhooks, now).await?)
        }
        (CoinChangeKind::Return, Some(order)) => {
            take_back(&mut transaction, order, &change, webhooks, now).await?
        }
        _ => None,
    };
    report(&mut transaction, &change, webhooks, now).await?;
    transaction.commit().await?;
    Ok(changed)
}

/// Records what an operator has found out about an unsettled change. Returns whether it was unsettled.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn decide(
    database: &Database,
    change: &CoinChange,
    applied: bool,
    webhooks: Webhooks,
    now: Timestamp,
) -> Result<bool, PaymentError> {
    if change.state != CoinChangeState::Unsettled {
        return Ok(false);
    }
    if applied {
        confirm(database, change, None, webhooks, now).await?;
        return Ok(true);
    }
    let done = sqlx::query(
        "UPDATE coin_changes SET state = 'refused', ended_at = $1
         WHERE id = $2 AND coalesce(state, '') = 'unsettled'",
    )
    .bind(now.as_millisecond())
    .bind(&change.id)
    .execute(database.pool())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Makes an order paid by its spend, whatever state it had: the coins are gone.
async fn pay(
    connection: &mut AnyConnection,
    order: Order,
    webhooks: Webhooks,
    now: Timestamp,
) -> Result<Order, PaymentError> {
    if order.status.was_paid() {
        return Ok(order);
    }
    sqlx::query(
        "UPDATE orders SET paid_at = $1, ended_at = NULL, next_check_at = NULL, holds_stock = 1
         WHERE id = $2",
    )
    .bind(now.as_millisecond())
    .bind(order.id)
    .execute(&mut *connection)
    .await?;
    set_status(
        connection,
        order.id,
        OrderStatus::Paid,
        Cause::CoinsSpent,
        now,
    )
    .await?;
    let source = format!("order:{}", order.id);
    let (user, product) = (order.user_id, &order.product_id);
    inventory::grant(connection, user, product, order.quantity, &source, now).await?;
    let paid = Order {
        status: OrderStatus::Paid,
        paid_at: Some(now),
        holds_stock: true,
        ..order.clone()
    };
    outbox::insert(connection, &events::paid(&paid), now).await?;
    store_webhook(connection, webhooks, &paid, "order.paid", &source, now).await?;
    if !order.holds_stock {
        move_stock(connection, &order, -1).await?;
    }
    Ok(paid)
}

/// Ends an order whose coins were given back as a whole, and revokes what is left of its items.
async fn take_back(
    connection: &mut AnyConnection,
    order: Order,
    change: &CoinChange,
    webhooks: Webhooks,
    now: Timestamp,
) -> Result<Option<Order>, PaymentError> {
    let returned = sum_returned(connection, order.id, "done").await?;
    if order.status != OrderStatus::Paid || Some(returned) < order.coins {
        return Ok(None);
    }
    let source = format!("return:{}", change.id);
    let (user, product) = (order.user_id, &order.product_id);
    inventory::revoke(connection, user, product, order.quantity, &source, now).await?;
    sqlx::query("UPDATE orders SET holds_stock = 0 WHERE id = $1")
        .bind(order.id)
        .execute(&mut *connection)
        .await?;
    let (status, cause) = (OrderStatus::Refunded, Cause::CoinsReturned);
    set_status(connection, order.id, status, cause, now).await?;
    let changed = Order {
        status,
        holds_stock: false,
        ..order.clone()
    };
    store_webhook(
        connection,
        webhooks,
        &changed,
        "order.refunded",
        &source,
        now,
    )
    .await?;
    move_stock(connection, &order, 1).await?;
    Ok(Some(changed))
}

async fn sum_returned(
    connection: &mut AnyConnection,
    order: OrderId,
    least: &str,
) -> Result<i64, PaymentError> {
    Ok(sqlx::query_scalar(
        "SELECT CAST(coalesce(sum(amount), 0) AS BIGINT) FROM coin_changes
         WHERE order_id = $1 AND kind = 'return'
           AND (state = 'done' OR $2 = 'pending' AND state IN ('pending', 'unsettled'))",
    )
    .bind(order)
    .bind(least)
    .fetch_one(connection)
    .await?)
}

/// Locks the order of a return, and checks that so much of its spend is left.
pub(super) async fn lock_spend(
    connection: &mut AnyConnection,
    new: &NewCoinChange,
) -> Result<(), PaymentError> {
    let id = new.order_id.ok_or(PaymentError::UnknownOrder)?;
    let order = order_rows::lock(connection, id).await?;
    let order = order.ok_or(PaymentError::UnknownOrder)?;
    let exists: Option<i64> =
        sqlx::query_scalar("SELECT CAST(1 AS BIGINT) FROM coin_changes WHERE id = $1")
            .bind(&new.id)
            .fetch_optional(&mut *connection)
            .await?;
    if exists.is_some() {
        return Ok(());
    }
    if order.status != OrderStatus::Paid {
        return Err(PaymentError::StateForbids(order.status));
    }
    let returned = sum_returned(connection, id, "pending").await?;
    if returned.saturating_add(new.amount) > order.coins.unwrap_or(0) {
        return Err(PaymentError::TooMuch);
    }
    Ok(())
}

/// Stores the webhook about a change of coins. That of a present belongs to no order.
async fn report(
    connection: &mut AnyConnection,
    change: &CoinChange,
    webhooks: Webhooks,
    now: Timestamp,
) -> Result<(), PaymentError> {
    if webhooks == Webhooks::Off {
        return Ok(());
    }
    let body = serde_json::json!({
        "type": "coins.changed", "timestamp": IsoTime(now), "data": change,
    });
    sqlx::query(
        "INSERT INTO fulfilments (id, order_id, type, source, body, created_at)
         VALUES ($1, $2, 'coins.changed', $3, $4, $5) ON CONFLICT (source) DO NOTHING",
    )
    .bind(FulfilmentId::new())
    .bind(change.order_id.map(|id| id.to_string()))
    .bind(format!("coins:{}", change.id))
    .bind(body.to_string())
    .bind(now.as_millisecond())
    .execute(connection)
    .await?;
    Ok(())
}
