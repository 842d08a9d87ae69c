//! Gauges of the payment tables, and of erasures: pending work, and the findings of the last reconciliations. The database
//! counts them from its indexes at each call.

use jiff::Timestamp;
use sqlx::Row;

use super::{PaymentError, RefundStatus, coins, virtual_orders};
use crate::storage::database::Database;

/// An order is overdue this long after it should have been closed.
const OVERDUE_MS: i64 = 5 * 60 * 1000;
/// Older webhooks are not counted: an operator has dealt with them or will not.
const UNDELIVERED_MS: i64 = 7 * 24 * 3600 * 1000;

/// Pending work at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Unprocessed callbacks.
    pub inbox: Waiting,
    /// Unpaid orders.
    pub orders_pending: i64,
    /// Unpaid orders that should have been closed five minutes ago.
    pub orders_overdue: i64,
    /// Undelivered webhooks of the last seven days.
    pub undelivered: Waiting,
    /// Refunds in progress, by state.
    pub refunds: Vec<(RefundStatus, Waiting)>,
    /// Orders that wait for their players' next sign-in.
    pub awaiting_sign_in: Waiting,
    /// Changes of coins whose outcome is unknown.
    pub coins_unsettled: Waiting,
    /// Players whose coins differ from WeChat's sums.
    pub coin_differences: i64,
    /// Erasures of players that have begun and are not done.
    pub erasures: Waiting,
    /// Differences found in the last three reconciled days.
    pub differences: i64,
    /// When a reconciliation last completed, Unix ms; none: never.
    pub reconciled_at: Option<i64>,
}

/// A number of waiting rows, and the age of the oldest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Number of rows.
    pub count: i64,
    /// Milliseconds; 0 without rows.
    pub oldest_ms: i64,
}

/// Counts the pending work.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn read(database: &Database, now: Timestamp) -> Result<Backlog, PaymentError> {
    let now = now.as_millisecond();
    let pool = database.pool();
    let waiting = |row: &sqlx::any::AnyRow| -> Result<Waiting, PaymentError> {
        let oldest: Option<i64> = row.try_get(1)?;
        Ok(Waiting {
            count: row.try_get(0)?,
            oldest_ms: oldest.map_or(0, |oldest| (now - oldest).max(0)),
        })
    };
    let inbox = sqlx::query("SELECT count(*), min(received_at) FROM inbox WHERE outcome IS NULL")
        .fetch_one(pool)
        .await?;
    let orders = sqlx::query(
        "SELECT count(*), count(CASE WHEN expires_at < $1 THEN 1 END)
         FROM orders WHERE status = 'pending'",
    )
    .bind(now - OVERDUE_MS)
    .fetch_one(pool)
    .await?;
    let undelivered = sqlx::query(
        "SELECT count(*), min(created_at) FROM fulfilments
         WHERE delivered_at IS NULL AND created_at > $1",
    )
    .bind(now - UNDELIVERED_MS)
    .fetch_one(pool)
    .await?;
    let open = sqlx::query(
        "SELECT count(*), min(created_at), status FROM refunds
         WHERE next_check_at IS NOT NULL GROUP BY status",
    )
    .fetch_all(pool)
    .await?;
    let erasures = sqlx::query(
        "SELECT count(*), min(started_at) FROM erasures WHERE step <> 'done' AND started_at IS NOT NULL",
    )
    .fetch_one(pool)
    .await?;
    // Postgres sums big integers as NUMERIC.
    let compared = sqlx::query(
        "SELECT CAST(coalesce(sum(differences), 0) AS BIGINT), max(at)
         FROM (SELECT differences, at FROM reconciliations ORDER BY day DESC LIMIT 3) AS latest",
    )
    .fetch_one(pool)
    .await?;
    let mut refunds = Vec::with_capacity(open.len());
    for row in &open {
        refunds.push((row.try_get(2)?, waiting(row)?));
    }
    let awaiting = virtual_orders::waiting(database).await?;
    let unsettled = coins::unsettled(database).await?;
    let since = |count, oldest: Option<i64>| Waiting {
        count,
        oldest_ms: oldest.map_or(0, |oldest| (now - oldest).max(0)),
    };
    Ok(Backlog {
        awaiting_sign_in: since(awaiting.orders, awaiting.oldest),
        coin_differences: coins::audit::differing(database).await?,
        coins_unsettled: since(unsettled.changes, unsettled.oldest),
        inbox: waiting(&inbox)?,
        orders_pending: orders.try_get(0)?,
        orders_overdue: orders.try_get(1)?,
        undelivered: waiting(&undelivered)?,
        refunds,
        erasures: waiting(&erasures)?,
        differences: compared.try_get(0)?,
        reconciled_at: compared.try_get(1)?,
    })
}
