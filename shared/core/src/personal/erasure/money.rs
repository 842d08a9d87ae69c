//! What must be kept for the money: orders, and the webhooks and events that repeat them. Amounts, states and the
//! ledger are not touched.

use jiff::Timestamp;

use super::rows::claim;
use super::{Erasure, ErasureError, Identity, Step, WAIT_FOR_ORDERS};
use crate::storage::database::Database;

/// Replaces the openid in orders, webhooks and waiting events. While an order is pending, its openid may be needed:
/// the step is tried again later. Returns `false` if another job has done the step.
///
/// # Errors
/// See [`ErasureError`].
pub async fn erase(
    database: &Database,
    erasure: &Erasure,
    identity: &Identity,
    now: Timestamp,
) -> Result<bool, ErasureError> {
    let mut transaction = database.begin().await?;
    let pending: i64 =
        sqlx::query_scalar("SELECT count(*) FROM orders WHERE user_id = $1 AND status = 'pending'")
            .bind(erasure.user_id)
            .fetch_one(&mut *transaction)
            .await?;
    let (next, due) = match pending {
        0 => (Step::Pushes, now),
        _ => (Step::Money, now.checked_add(WAIT_FOR_ORDERS).unwrap_or(now)),
    };
    let claimed = claim(&mut transaction, erasure, next, due).await?;
    if claimed && next == Step::Pushes {
        for statement in [
            "UPDATE orders SET open_id = $3, channel_request = replace(channel_request, $2, $3)
             WHERE user_id = $1 AND open_id = $2",
            "UPDATE fulfilments SET body = replace(body, $2, $3) WHERE source IN (
                 SELECT 'order:' || id FROM orders WHERE user_id = $1
                 UNION ALL
                 SELECT 'refund:' || refunds.id FROM refunds JOIN orders ON orders.id = refunds.order_id
                 WHERE orders.user_id = $1
                 UNION ALL
                 SELECT 'coins:' || id FROM coin_changes WHERE user_id = $1
                 UNION ALL
                 SELECT 'return:' || id FROM coin_changes WHERE user_id = $1)",
            // Without a session key no call can be made for the player any more.
            "UPDATE coin_changes SET open_id = $3, next_try_at = NULL, key_version = NULL,
                 state = CASE WHEN state <> 'pending' THEN state WHEN sent_at IS NULL THEN 'refused'
                         ELSE 'unsettled' END
             WHERE user_id = $1 AND open_id = $2",
            "UPDATE event_outbox SET open_id = $3 WHERE user_id = $1 AND open_id = $2",
        ] {
            sqlx::query(statement)
                .bind(erasure.user_id)
                .bind(&identity.open_id)
                .bind(erasure.pseudonym())
                .execute(&mut *transaction)
                .await?;
        }
    }
    transaction.commit().await?;
    Ok(claimed)
}
