//! Compares a day of the channels' statements with our orders and stores every difference. Days are
//! Beijing days, as statements are. Acting on differences is the workers' and the operators' concern.

mod comparison;

use jiff::civil::Date;
use jiff::tz::Offset;
use jiff::{Timestamp, ToSpan};
use serde::{Deserialize, Serialize};
use sqlx::Row;
use strum::{Display, EnumString};

use super::order_rows::{Order, order_of};
use super::{Channel, PaymentError, damaged};
use crate::base::stored_text::stored_as_text;
use crate::storage::database::Database;

pub use comparison::compare;

/// Returns the day in Beijing.
pub fn beijing_day(at: Timestamp) -> Date {
    BEIJING.to_datetime(at).date()
}

/// Returns the hour in Beijing, 0 to 23.
pub fn beijing_hour(at: Timestamp) -> i8 {
    BEIJING.to_datetime(at).hour()
}

/// China has one time zone and no summer time.
const BEIJING: Offset = Offset::constant(8);

/// How a statement and our orders differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Display, EnumString)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum DifferenceKind {
    /// The order is not ours.
    MissingHere,
    /// The statement lacks an order that is paid here.
    MissingThere,
    /// The statement has a payment of an order that is unpaid here.
    UnpaidHere,
    /// The prices differ.
    Amount,
    /// The numbers of the payment differ.
    Transaction,
    /// The refund is not ours.
    RefundMissingHere,
    /// The amounts of the refund differ.
    RefundAmount,
    /// The statement has a refund that was closed here by an unsigned report.
    RefundClosedHere,
    /// The statement has rows of another merchant.
    OtherMerchant,
}

stored_as_text!(DifferenceKind);

/// A difference between a statement and our orders.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// The merchant's number of the order, or of the refund; possibly not one of ours.
    pub order_id: String,
    /// How they differ.
    pub kind: DifferenceKind,
    /// Our value.
    pub ours: Option<String>,
    /// The statement's value.
    pub theirs: Option<String>,
}

/// The result of comparing one day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reconciliation {
    /// `YYYY-MM-DD`, Beijing time.
    pub day: String,
    /// Number of statement rows about our app.
    pub rows_compared: i64,
    /// What was found.
    pub differences: Vec<Difference>,
}

/// Lists our orders of a channel that were paid on that day.
async fn paid_on(
    database: &Database,
    channel: Channel,
    day: Date,
) -> Result<Vec<Order>, PaymentError> {
    let start = |day: Date| {
        let midnight = BEIJING
            .to_timestamp(day.at(0, 0, 0, 0))
            .map_err(|_| damaged("day"))?;
        Ok::<_, PaymentError>(midnight.as_millisecond())
    };
    let next = day.checked_add(1.day()).map_err(|_| damaged("day"))?;
    let rows = sqlx::query(include_str!("sql/orders_paid_between.sql"))
        .bind(start(day)?)
        .bind(start(next)?)
        .bind(channel)
        .fetch_all(database.pool())
        .await?;
    rows.iter().map(order_of).collect()
}

/// Whether orders of ours were paid through the channel on that day.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn has_payments(
    database: &Database,
    channel: Channel,
    day: Date,
) -> Result<bool, PaymentError> {
    Ok(!paid_on(database, channel, day).await?.is_empty())
}

/// Replaces the stored result of a day: differences of an earlier comparison may be resolved.
async fn store(
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
        .bind(difference.kind)
        .bind(&difference.ours)
        .bind(&difference.theirs)
        .bind(now.as_millisecond())
        .execute(&mut *transaction)
        .await?;
    }
    Ok(transaction.commit().await?)
}

/// Lists the last 100 compared days, newest first.
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

/// Whether the day was compared and every unknown payment and refund has been processed since: differences
/// are stored before they are acted upon, and the worker may crash in between.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn is_done(database: &Database, day: Date) -> Result<bool, PaymentError> {
    let done: Option<i64> = sqlx::query_scalar(include_str!("sql/reconciliation_is_done.sql"))
        .bind(day.to_string())
        .fetch_optional(database.pool())
        .await?;
    Ok(done.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_at_midnight_in_beijing() {
        let late: Timestamp = "2026-01-01T15:59:59Z".parse().unwrap();
        let early: Timestamp = "2026-01-01T16:00:00Z".parse().unwrap();
        assert_eq!(beijing_day(late).to_string(), "2026-01-01");
        assert_eq!(beijing_day(early).to_string(), "2026-01-02");
        assert_eq!((beijing_hour(late), beijing_hour(early)), (23, 0));
    }

    #[test]
    fn stored_kinds_are_those_of_existing_rows() {
        assert_eq!(DifferenceKind::UnpaidHere.to_string(), "unpaid_here");
        let kind: DifferenceKind = "refund_closed_here".parse().unwrap();
        assert_eq!(kind, DifferenceKind::RefundClosedHere);
    }
}
