//! The items of refunds: revoked by the transaction that decides a refund, so that no player uses items whose
//! money is on its way back, and granted again by the one that records its failure.
//!
//! The sources of a refund's ledger entries, each possible once: `…:at-once` (decided), `…:closed` (failed),
//! none (reopened by a signed report, or decided by a version that revoked on success), `…:closed-again`, and
//! `…:instead-of:ID` (items that another refund, which failed, gave up).

use jiff::Timestamp;
use sqlx::{AnyConnection, Row};

use super::order_rows::Order;
use super::refunds::{Refund, Sums, sums};
use super::{PaymentError, inventory};
use crate::base::ids::RefundId;

/// Revokes the items of a refund that is being decided; returns their number.
pub(super) async fn take_at_once(
    connection: &mut AnyConnection,
    order: &Order,
    refund: &Refund,
    now: Timestamp,
) -> Result<i64, PaymentError> {
    let source = format!("refund:{}:at-once", refund.refund_id);
    let (user, product) = (order.user_id, &order.product_id);
    let revoked =
        inventory::revoke(connection, user, product, refund.quantity, &source, now).await?;
    sqlx::query("UPDATE refunds SET revoked = $1 WHERE id = $2")
        .bind(revoked)
        .bind(refund.refund_id)
        .execute(connection)
        .await?;
    Ok(revoked)
}

/// Revokes the items of a refund that has none yet: it was reopened. Other refunds may have replaced it, so
/// that fewer items than it names are left to it. Returns their number.
pub(super) async fn take(
    connection: &mut AnyConnection,
    order: &Order,
    refund: &Refund,
    now: Timestamp,
) -> Result<i64, PaymentError> {
    let others = quantity_of_others(connection, order, refund).await?;
    let items = refund.quantity.min(order.quantity - others).max(0);
    let source = format!("refund:{}", refund.refund_id);
    let (user, product) = (order.user_id, &order.product_id);
    inventory::revoke(connection, user, product, items, &source, now).await
}

/// Grants again what a failed refund has revoked. What another refund of the order lacks because of it,
/// passes to that one.
pub(super) async fn give_back(
    connection: &mut AnyConnection,
    order: &Order,
    refund: &Refund,
    now: Timestamp,
) -> Result<(), PaymentError> {
    let revoked = refund.revoked.unwrap_or(0);
    if revoked == 0 {
        return Ok(());
    }
    let mut source = format!("refund:{}:closed", refund.refund_id);
    if inventory::has_entry(connection, &source).await? {
        source += "-again";
    }
    let (user, product) = (order.user_id, &order.product_id);
    inventory::grant(connection, user, product, revoked, &source, now).await?;
    let others = quantity_of_others(connection, order, refund).await?;
    let overbooked = others + refund.quantity - order.quantity;
    pass_on(connection, order, refund, revoked.min(overbooked), now).await
}

/// Revokes up to `items` for the order's other refunds that have fewer than they name.
async fn pass_on(
    connection: &mut AnyConnection,
    order: &Order,
    from: &Refund,
    mut items: i64,
    now: Timestamp,
) -> Result<(), PaymentError> {
    if items <= 0 {
        return Ok(());
    }
    let rows = sqlx::query(
        "SELECT id, quantity - revoked AS lacking FROM refunds
         WHERE order_id = $1 AND id <> $2 AND status <> 'closed' AND revoked < quantity ORDER BY id",
    )
    .bind(order.id)
    .bind(from.refund_id)
    .fetch_all(&mut *connection)
    .await?;
    for row in rows {
        let (id, lacking): (RefundId, i64) = (row.try_get("id")?, row.try_get("lacking")?);
        let source = format!("refund:{id}:instead-of:{}", from.refund_id);
        let (user, product, wanted) = (order.user_id, &order.product_id, items.min(lacking));
        if wanted == 0 {
            break;
        }
        let taken = inventory::revoke(connection, user, product, wanted, &source, now).await?;
        sqlx::query("UPDATE refunds SET revoked = revoked + $1 WHERE id = $2")
            .bind(taken)
            .bind(id)
            .execute(&mut *connection)
            .await?;
        items -= taken;
    }
    Ok(())
}

/// Sums the items of the order's other refunds that are in progress or have succeeded.
async fn quantity_of_others(
    connection: &mut AnyConnection,
    order: &Order,
    refund: &Refund,
) -> Result<i64, PaymentError> {
    let in_progress = sums(connection, order.id, Sums::InProgress).await?.items;
    let succeeded = sums(connection, order.id, Sums::Succeeded).await?.items;
    // The row still has its state from before this transaction.
    let own = if refund.status.is_open() {
        refund.quantity
    } else {
        0
    };
    Ok(in_progress + succeeded - own)
}
