//! What waits in the tables of payments, and what the last comparisons with WeChat's bills found: for
//! metrics. Counted by the database, from indexes, each time it is asked for.

use jiff::Timestamp;
use sqlx::Row;

use super::{PaymentError, RefundStatus, damaged};
use crate::storage::database::Database;

/// An order that should have been closed this long ago is overdue.
const OVERDUE_MS: i64 = 5 * 60 * 1000;
/// What is older than this is no news any more: an operator has dealt with it, or nobody will.
const UNDELIVERED_MS: i64 = 7 * 24 * 3600 * 1000;

/// What waits at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Callbacks that were received and not processed yet.
    pub inbox: Waiting,
    /// Orders that wait for their payment.
    pub orders_pending: i64,
    /// Of these, those that should have been closed five minutes ago.
    pub orders_overdue: i64,
    /// Webhooks of the last seven days that the game server has not taken.
    pub undelivered: Waiting,
    /// Refunds under way, by state, and since when they were asked for.
    pub refunds: Vec<(RefundStatus, Waiting)>,
    /// Differences of the last three days that were compared.
    pub differences: i64,
    /// When a comparison was last finished, Unix ms; none: never.
    pub reconciled_at: Option<i64>,
}

/// So many, and how long the oldest of them has waited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// How many.
    pub count: i64,
    /// Milliseconds; 0 when there is none.
    pub oldest_ms: i64,
}

/// Counts.
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
    // A sum of big integers is another type in Postgres.
    let compared = sqlx::query(
        "SELECT CAST(coalesce(sum(differences), 0) AS BIGINT), max(at)
         FROM (SELECT differences, at FROM reconciliations ORDER BY day DESC LIMIT 3) AS latest",
    )
    .fetch_one(pool)
    .await?;
    let mut refunds = Vec::with_capacity(open.len());
    for row in &open {
        let status: String = row.try_get(2)?;
        let status = status.parse().map_err(|_| damaged("refunds.status"))?;
        refunds.push((status, waiting(row)?));
    }
    Ok(Backlog {
        inbox: waiting(&inbox)?,
        orders_pending: orders.try_get(0)?,
        orders_overdue: orders.try_get(1)?,
        undelivered: waiting(&undelivered)?,
        refunds,
        differences: compared.try_get(0)?,
        reconciled_at: compared.try_get(1)?,
    })
}
