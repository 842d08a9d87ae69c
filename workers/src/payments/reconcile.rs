//! Compares the statements of all channels with our orders, daily. A payment that is unknown here is
//! confirmed by a signed query, which grants it, and so is a refund that was closed here by an unsigned
//! report; every difference is stored and logged.

use std::sync::Arc;

use avalon_core::base::problem::{Problem, ProblemCode};
use avalon_core::jobs::{self, Reconcile};
use avalon_core::payments::reconciliation::{self, Difference, DifferenceKind};
use avalon_core::payments::statement::Statement;
use avalon_core::payments::{Cause, order_rows, refunds};
use avalon_queue::{JobContext, JobError};
use jiff::Timestamp;

use crate::job_errors;
use crate::payments::channel::{ChannelError, PaymentChannel};
use crate::payments::refund;
use crate::payments::settlement::{self, Standing};
use crate::services::Services;

pub(crate) async fn handle(
    services: Arc<Services>,
    job: Reconcile,
    _: JobContext,
) -> Result<usize, JobError> {
    let database = &services.database;
    // The schedule does not know whether payments are configured.
    let Some(pay) = &services.pay else {
        return Ok(0);
    };
    if !job.again
        && reconciliation::is_done(database, job.day)
            .await
            .map_err(job_errors::payment)?
    {
        return Ok(0);
    }
    let mut statements = Vec::new();
    let comparable = |channel: &&dyn PaymentChannel| channel.abilities().statements;
    for channel in pay.channels.iter().filter(comparable) {
        statements.push(statement(&services, channel, &job).await?);
    }
    let found = reconciliation::compare(database, job.day, &statements, Timestamp::now())
        .await
        .map_err(job_errors::payment)?;
    // A difference that cannot be resolved does not block the others, but the day is not done before all are.
    let mut resolved = Ok(());
    for difference in &found.differences {
        tracing::error!(
            day = found.day,
            ?difference,
            "a statement and our orders differ"
        );
        resolved = resolved.and(resolve(&services, difference).await);
    }
    resolved?;
    tracing::info!(
        day = found.day,
        rows = found.rows_compared,
        "day reconciled"
    );
    Ok(found.differences.len())
}

/// Downloads a channel's statement of the day.
async fn statement<'a>(
    services: &Services,
    channel: &'a dyn PaymentChannel,
    job: &Reconcile,
) -> Result<Statement<'a>, JobError> {
    let account = channel.account();
    let statement = channel.statement(job.day).await;
    let rows = match statement.map_err(with_reason)? {
        Some(rows) => rows,
        // That there is no statement is unsigned. An operator who asks again may accept it.
        None if !job.again
            && reconciliation::has_payments(&services.database, account.channel, job.day)
                .await
                .map_err(job_errors::payment)? =>
        {
            tracing::error!(day = %job.day, channel = %account.channel, "no statement of a day with payments");
            return Err(job_errors::retry(ProblemCode::PayBusy));
        }
        None => Vec::new(),
    };
    Ok(Statement { account, rows })
}

/// Names the reason of a failure that is retried: the operator who waits for the result can act on it.
fn with_reason(error: ChannelError) -> JobError {
    let reason = error.to_string();
    match JobError::from(error) {
        JobError::Retry { after, .. } => {
            let problem = Problem::new(ProblemCode::PayBusy).with_detail(reason);
            JobError::Retry {
                after,
                failure: jobs::failure(&problem),
            }
        }
        other => other,
    }
}

/// Confirms by a signed answer what the statement has and we have not.
async fn resolve(services: &Services, difference: &Difference) -> Result<(), JobError> {
    match difference.kind {
        DifferenceKind::UnpaidHere => resolve_payment(services, &difference.order_id).await,
        DifferenceKind::RefundClosedHere => resolve_refund(services, &difference.order_id).await,
        _ => Ok(()),
    }
}

async fn resolve_payment(services: &Services, number: &str) -> Result<(), JobError> {
    let Ok(id) = number.parse() else {
        return Ok(());
    };
    let order = order_rows::by_id(&services.database, id)
        .await
        .map_err(job_errors::payment)?;
    let Some(order) = order else { return Ok(()) };
    match settlement::query(services, &order, Cause::Reconciliation).await? {
        Standing::Paid => Ok(()),
        // Statement and query contradict each other, or the payment contradicts the order, which is for an
        // operator.
        Standing::Unpaid
        | Standing::Closed
        | Standing::Absent
        | Standing::AwaitsSignIn
        | Standing::Contradicts => Err(job_errors::retry(ProblemCode::PayBusy)),
    }
}

async fn resolve_refund(services: &Services, number: &str) -> Result<(), JobError> {
    let Ok(id) = number.parse() else {
        return Ok(());
    };
    let refund = refunds::by_id(&services.database, id)
        .await
        .map_err(job_errors::payment)?;
    let Some(refund) = refund else { return Ok(()) };
    let refund = refund::query(services, &refund).await?;
    // It exceeds the rest of the order: the difference remains, for an operator.
    if refund.is_closed_unconfirmed() {
        return Err(job_errors::retry(ProblemCode::PayBusy));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payments::channel::ErrorClass;

    #[test]
    fn unreadable_statement_is_reported_with_its_reason() {
        let cause = "the bill's hash does not match";
        let error = with_reason(ChannelError::new(ErrorClass::Transient, false, cause));
        let JobError::Retry { failure, .. } = error else {
            panic!("{error:?}")
        };
        assert!(failure.to_string().contains(cause), "{failure}");
    }
}
