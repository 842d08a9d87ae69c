//! The comparison itself: each row of a statement beside our order or refund.

use std::collections::HashMap;

use jiff::Timestamp;
use jiff::civil::Date;

use super::super::order_rows::{self, Order};
use super::super::statement::{Statement, StatementRow};
use super::super::{PaymentError, refunds};
use super::{Difference, DifferenceKind, Reconciliation, paid_on, store};
use crate::base::fen::Fen;
use crate::base::ids::{OrderId, RefundId};
use crate::storage::database::Database;

/// Compares a day's statements with our orders, and stores the result.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn compare(
    database: &Database,
    day: Date,
    statements: &[Statement<'_>],
    now: Timestamp,
) -> Result<Reconciliation, PaymentError> {
    let mut result = Reconciliation {
        day: day.to_string(),
        rows_compared: 0,
        differences: Vec::new(),
    };
    for statement in statements {
        add(database, day, statement, &mut result).await?;
    }
    store(database, &result, now).await?;
    Ok(result)
}

/// Compares one channel's statement.
async fn add(
    database: &Database,
    day: Date,
    statement: &Statement<'_>,
    result: &mut Reconciliation,
) -> Result<(), PaymentError> {
    let account = statement.account;
    let ours = paid_on(database, account.channel, day).await?;
    let mut ours: HashMap<OrderId, Order> =
        ours.into_iter().map(|order| (order.id, order)).collect();
    let (rows, others): (Vec<_>, Vec<_>) = statement
        .rows
        .iter()
        .partition(|row| row.merchant_id == account.merchant_id);
    // One difference for all of them: the orders are not at fault.
    result
        .differences
        .extend(others.first().map(|row| Difference {
            order_id: row.order_number.clone(),
            kind: DifferenceKind::OtherMerchant,
            ours: Some(account.merchant_id.to_owned()),
            theirs: Some(row.merchant_id.clone()),
        }));
    let (rows, others): (Vec<_>, Vec<_>) = rows
        .into_iter()
        .partition(|row| row.app_id == account.app_id);
    if !others.is_empty() {
        tracing::info!(%day, rows = others.len(), "statement rows of the merchant's other apps were skipped");
    }
    for row in &rows {
        let found = match &row.refund_number {
            Some(refund) => of_refund(database, refund, row).await?,
            None => of_payment(our_order(database, &mut ours, row).await?.as_ref(), row),
        };
        result.differences.extend(found);
    }
    let missing = ours.into_values().map(|order| Difference {
        order_id: order.id.to_string(),
        kind: DifferenceKind::MissingThere,
        ours: Some(order.total_fee.get().to_string()),
        theirs: None,
    });
    result.differences.extend(missing);
    result.rows_compared += i64::try_from(rows.len()).unwrap_or(i64::MAX);
    Ok(())
}

/// Finds the order of a row, which may have been paid on another day by our clock, or not at all.
async fn our_order(
    database: &Database,
    paid: &mut HashMap<OrderId, Order>,
    row: &StatementRow,
) -> Result<Option<Order>, PaymentError> {
    let Ok(id) = row.order_number.parse() else {
        return Ok(None);
    };
    match paid.remove(&id) {
        Some(order) => Ok(Some(order)),
        None => order_rows::by_id(database, id).await,
    }
}

fn of_payment(ours: Option<&Order>, row: &StatementRow) -> Option<Difference> {
    let theirs = row.order_amount;
    let difference = |kind: DifferenceKind, ours: Option<String>, theirs: String| {
        Some(Difference {
            order_id: row.order_number.clone(),
            kind,
            ours,
            theirs: Some(theirs),
        })
    };
    let fen = |amount: Fen| amount.get().to_string();
    match ours {
        None => difference(DifferenceKind::MissingHere, None, fen(theirs)),
        Some(order) if !order.status.was_paid() => difference(
            DifferenceKind::UnpaidHere,
            Some(order.status.to_string()),
            fen(theirs),
        ),
        Some(order) if order.total_fee != theirs => difference(
            DifferenceKind::Amount,
            Some(fen(order.total_fee)),
            fen(theirs),
        ),
        Some(order) if order.transaction_id.as_deref() != Some(&row.transaction_id) => difference(
            DifferenceKind::Transaction,
            order.transaction_id.clone(),
            row.transaction_id.clone(),
        ),
        Some(_) => None,
    }
}

async fn of_refund(
    database: &Database,
    number: &str,
    row: &StatementRow,
) -> Result<Option<Difference>, PaymentError> {
    let theirs = row.refund_amount;
    let difference = |kind: DifferenceKind, ours: Option<Fen>| Difference {
        order_id: number.to_owned(),
        kind,
        ours: ours.map(|amount| amount.get().to_string()),
        theirs: Some(theirs.get().to_string()),
    };
    let refund = match number.parse::<RefundId>() {
        Ok(id) => refunds::by_id(database, id).await?,
        Err(_) => None,
    };
    Ok(match refund {
        None => Some(difference(DifferenceKind::RefundMissingHere, None)),
        Some(refund) if refund.amount != theirs => Some(difference(
            DifferenceKind::RefundAmount,
            Some(refund.amount),
        )),
        Some(refund) if refund.is_closed_unconfirmed() => Some(difference(
            DifferenceKind::RefundClosedHere,
            Some(refund.amount),
        )),
        Some(_) => None,
    })
}
