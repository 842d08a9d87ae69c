//! Ends unpaid orders and releases their stock.

use jiff::Timestamp;

use super::super::order_rows::{Order, order_of};
use super::super::status::OrderStatus;
use super::super::{Cause, PaymentError};
use super::{move_stock, record};
use crate::base::ids::OrderId;
use crate::storage::database::Database;

/// Ends a pending order as `closed` or `failed` and releases its stock. `None` when it was not pending.
/// The channel is queried once more at `final_check` if the order was ever submitted; none: the channel
/// itself reported that the order can no longer be paid.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn end_unpaid(
    database: &Database,
    id: OrderId,
    to: OrderStatus,
    cause: Cause,
    final_check: Option<Timestamp>,
    now: Timestamp,
) -> Result<Option<Order>, PaymentError> {
    debug_assert!(OrderStatus::Pending.may_become(to) && !to.was_paid());
    let mut transaction = database.begin().await?;
    let row = sqlx::query(include_str!("../sql/order_end_unpaid.sql"))
        .bind(to)
        .bind((to == OrderStatus::Failed).then_some(cause.as_str()))
        .bind(now.as_millisecond())
        .bind(final_check.map(Timestamp::as_millisecond))
        .bind(id)
        .fetch_optional(&mut *transaction)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let order = order_of(&row)?;
    record(&mut transaction, id, to, cause, now).await?;
    move_stock(&mut transaction, &order, 1).await?;
    transaction.commit().await?;
    Ok(Some(order))
}

/// Schedules no more queries of an order that has ended: it can no longer be paid.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn finish_checks(database: &Database, id: OrderId) -> Result<(), PaymentError> {
    sqlx::query(
        "UPDATE orders SET next_check_at = NULL WHERE id = $1 AND status IN ('closed', 'failed')",
    )
    .bind(id)
    .execute(database.pool())
    .await?;
    Ok(())
}
