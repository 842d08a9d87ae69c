//! Compares a day of WeChat's bill with our orders and keeps every difference. Days are Beijing's, as
//! WeChat's bills are. What to do about a difference is the worker's and the operator's business.

use std::collections::HashMap;

use avalon_wechat::pay::BillRow;
use jiff::civil::Date;
use jiff::tz::Offset;
use jiff::{Timestamp, ToSpan};
use serde::Serialize;
use sqlx::Row;

use super::order_rows::{Order, order_of};
use super::{PaymentError, damaged, refunds};
use crate::storage::database::Database;

/// The day at Beijing.
pub fn beijing_day(at: Timestamp) -> Date {
    BEIJING.to_datetime(at).date()
}

/// The hour at Beijing, 0 to 23.
pub fn beijing_hour(at: Timestamp) -> i8 {
    BEIJING.to_datetime(at).hour()
}

/// China has one time zone and no summer time.
const BEIJING: Offset = Offset::constant(8);

/// An order that the bill says was paid, and that we have not heard of.
pub const UNPAID_HERE: &str = "unpaid_here";
/// A refund that the bill has, and that was closed here on a word that nobody has signed.
pub const REFUND_CLOSED_HERE: &str = "refund_closed_here";

/// Where WeChat's bill and our orders say different things.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// The order, or the refund.
    pub order_id: String,
    /// `missing_here`, `missing_there`, `unpaid_here`, `amount`, `transaction`,
    /// `refund_missing_here`, `refund_amount`, `refund_closed_here` or `other_merchant`.
    pub kind: String,
    /// What we have.
    pub ours: Option<String>,
    /// What WeChat has.
    pub theirs: Option<String>,
}

/// A day that was compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reconciliation {
    /// `YYYY-MM-DD`, Beijing time.
    pub day: String,
    /// Rows of the bill that are ours to compare.
    pub rows_compared: i64,
    /// What was found.
    pub differences: Vec<Difference>,
}

/// Whose bill it must be.
#[derive(Clone, Copy, Debug)]
pub struct Shop<'a> {
    /// The merchant.
    pub mch_id: &'a str,
    /// The app; the merchant's bill has the rows of all of its apps.
    pub app_id: &'a str,
}

/// Compares a day's bill with our orders, and keeps what it finds.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn compare(
    database: &Database,
    day: Date,
    bill: &[BillRow],
    shop: Shop<'_>,
    now: Timestamp,
) -> Result<Reconciliation, PaymentError> {
    let mut ours = paid_on(database, day).await?;
    let mut differences = Vec::new();
    let (bill, others): (Vec<_>, Vec<_>) = bill.iter().partition(|row| row.mch_id == shop.mch_id);
    // One for all of them: it is not these orders that are wrong.
    differences.extend(others.first().map(|row| Difference {
        order_id: row.out_trade_no.clone(),
        kind: "other_merchant".to_owned(),
        ours: Some(shop.mch_id.to_owned()),
        theirs: Some(row.mch_id.clone()),
    }));
    let (bill, others): (Vec<_>, Vec<_>) =
        bill.into_iter().partition(|row| row.app_id == shop.app_id);
    if !others.is_empty() {
        tracing::info!(%day, rows = others.len(), "rows of other apps of the merchant are left out");
    }
    for row in &bill {
        let found = match &row.out_refund_no {
            Some(refund) => of_refund(database, refund, row).await?,
            None => {
                let ours = match ours.remove(&row.out_trade_no) {
                    Some(order) => Some(order),
                    // Paid by our clock on another day, or not at all.
                    None => super::order_rows::by_id(database, &row.out_trade_no).await?,
                };
                of_payment(ours.as_ref(), row)
            }
        };
        differences.extend(found);
    }
    let forgotten = ours.into_values().map(|order| Difference {
        kind: "missing_there".to_owned(),
        ours: Some(order.total_fee.get().to_string()),
        theirs: None,
        order_id: order.id,
    });
    differences.extend(forgotten);
    let rows_compared = i64::try_from(bill.len()).unwrap_or(i64::MAX);
    let result = Reconciliation {
        day: day.to_string(),
        rows_compared,
        differences,
    };
    keep(database, &result, now).await?;
    Ok(result)
}

/// Our orders that were paid on that day.
async fn paid_on(database: &Database, day: Date) -> Result<HashMap<String, Order>, PaymentError> {
    let start = |day: Date| {
        let midnight = BEIJING
            .to_timestamp(day.at(0, 0, 0, 0))
            .map_err(|_| damaged("day"))?;
        Ok::<_, PaymentError>(midnight.as_millisecond())
    };
    let next = day.checked_add(1.day()).map_err(|_| damaged("day"))?;
    let rows = sqlx::query(
        "SELECT * FROM orders WHERE paid_at >= $1 AND paid_at < $2 AND channel = 'wechat_pay'",
    )
    .bind(start(day)?)
    .bind(start(next)?)
    .fetch_all(database.pool())
    .await?;
    rows.iter()
        .map(|row| order_of(row).map(|order| (order.id.clone(), order)))
        .collect()
}

/// Whether orders of ours were paid on that day.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn has_payments(database: &Database, day: Date) -> Result<bool, PaymentError> {
    Ok(!paid_on(database, day).await?.is_empty())
}

fn of_payment(ours: Option<&Order>, row: &BillRow) -> Option<Difference> {
    let theirs = row.order_amount.get();
    let difference = |kind: &str, ours: Option<String>, theirs: String| {
        let (order_id, kind) = (row.out_trade_no.clone(), kind.to_owned());
        Some(Difference {
            order_id,
            kind,
            ours,
            theirs: Some(theirs),
        })
    };
    match ours {
        None => difference("missing_here", None, theirs.to_string()),
        Some(order) if !order.status.was_paid() => difference(
            UNPAID_HERE,
            Some(order.status.to_string()),
            theirs.to_string(),
        ),
        Some(order) if order.total_fee.get() != theirs => difference(
            "amount",
            Some(order.total_fee.get().to_string()),
            theirs.to_string(),
        ),
        Some(order) if order.transaction_id.as_deref() != Some(&row.transaction_id) => difference(
            "transaction",
            order.transaction_id.clone(),
            row.transaction_id.clone(),
        ),
        Some(_) => None,
    }
}

async fn of_refund(
    database: &Database,
    number: &str,
    row: &BillRow,
) -> Result<Option<Difference>, PaymentError> {
    let theirs = row.refund_amount.get();
    let difference = |kind: &str, ours: Option<i64>| Difference {
        order_id: number.to_owned(),
        kind: kind.to_owned(),
        ours: ours.map(|fen| fen.to_string()),
        theirs: Some(theirs.to_string()),
    };
    Ok(match refunds::by_id(database, number).await? {
        None => Some(difference("refund_missing_here", None)),
        Some(refund) if refund.amount != theirs => {
            Some(difference("refund_amount", Some(refund.amount)))
        }
        Some(refund) if refund.is_closed_unheard() => {
            Some(difference(REFUND_CLOSED_HERE, Some(refund.amount)))
        }
        Some(_) => None,
    })
}

async fn keep(
    database: &Database,
    result: &Reconciliation,
    now: Timestamp,
) -> Result<(), PaymentError> {
    let mut transaction = database.begin().await?;
    sqlx::query(
        "INSERT INTO reconciliations (day, rows_compared, differences, at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (day) DO UPDATE SET rows_compared = excluded.rows_compared,
             differences = excluded.differences, at = excluded.at",
    )
    .bind(&result.day)
    .bind(result.rows_compared)
    .bind(i64::try_from(result.differences.len()).unwrap_or(i64::MAX))
    .bind(now.as_millisecond())
    .execute(&mut *transaction)
    .await?;
    // Of a comparison before: what it found may have been mended.
    sqlx::query("DELETE FROM reconciliation_differences WHERE day = $1")
        .bind(&result.day)
        .execute(&mut *transaction)
        .await?;
    for difference in &result.differences {
        sqlx::query(
            "INSERT INTO reconciliation_differences (day, order_id, kind, ours, theirs, at)
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (day, order_id, kind) DO NOTHING",
        )
        .bind(&result.day)
        .bind(&difference.order_id)
        .bind(&difference.kind)
        .bind(&difference.ours)
        .bind(&difference.theirs)
        .bind(now.as_millisecond())
        .execute(&mut *transaction)
        .await?;
    }
    Ok(transaction.commit().await?)
}

/// The days that were compared, newest first, at most 100.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn list(database: &Database) -> Result<Vec<Reconciliation>, PaymentError> {
    let days =
        sqlx::query("SELECT day, rows_compared FROM reconciliations ORDER BY day DESC LIMIT 100")
            .fetch_all(database.pool())
            .await?;
    let mut all = Vec::with_capacity(days.len());
    for row in days {
        let day: String = row.try_get("day")?;
        let found = sqlx::query(
            "SELECT order_id, kind, ours, theirs FROM reconciliation_differences WHERE day = $1
             ORDER BY order_id, kind",
        )
        .bind(&day)
        .fetch_all(database.pool())
        .await?;
        let differences = found
            .iter()
            .map(|row| {
                Ok(Difference {
                    order_id: row.try_get("order_id")?,
                    kind: row.try_get("kind")?,
                    ours: row.try_get("ours")?,
                    theirs: row.try_get("theirs")?,
                })
            })
            .collect::<Result<_, PaymentError>>()?;
        all.push(Reconciliation {
            day,
            rows_compared: row.try_get("rows_compared")?,
            differences,
        });
    }
    Ok(all)
}

/// Whether the day was compared, and each payment and refund that we had not heard of is acted upon:
/// what was found is kept before that, and whoever acts may die.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn is_done(database: &Database, day: Date) -> Result<bool, PaymentError> {
    let done: Option<i64> = sqlx::query_scalar(
        "SELECT CAST(1 AS BIGINT) FROM reconciliations WHERE day = $1 AND NOT EXISTS (
             SELECT 1 FROM reconciliation_differences AS found
             JOIN orders ON orders.id = found.order_id
             WHERE found.day = $1 AND found.kind = 'unpaid_here'
               AND orders.status IN ('pending', 'closed', 'failed')
               AND orders.transaction_id IS NULL)
         AND NOT EXISTS (
             SELECT 1 FROM reconciliation_differences AS found
             JOIN refunds ON refunds.id = found.order_id
             WHERE found.day = $1 AND found.kind = 'refund_closed_here'
               AND refunds.status = 'closed' AND refunds.channel_refund_id IS NULL)",
    )
    .bind(day.to_string())
    .fetch_optional(database.pool())
    .await?;
    Ok(done.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_at_beijings_midnight() {
        let late: Timestamp = "2026-01-01T15:59:59Z".parse().unwrap();
        let early: Timestamp = "2026-01-01T16:00:00Z".parse().unwrap();
        assert_eq!(beijing_day(late).to_string(), "2026-01-01");
        assert_eq!(beijing_day(early).to_string(), "2026-01-02");
        assert_eq!((beijing_hour(late), beijing_hour(early)), (23, 0));
    }
}
