//! Processes a payment callback from the inbox: its channel verifies (if that was not possible on receipt)
//! and decrypts it, and its content is compared with our records before it takes effect. Every callback
//! ends with an outcome, which is stored in the inbox and counted.

use std::sync::Arc;

use avalon_core::base::problem::ProblemCode;
use avalon_core::jobs::Callback;
use avalon_core::payments::inbox::{self, Entry};
use avalon_core::payments::{
    CallbackOutcome, Cause, Channel, PaymentError, RefundStatus, refund_outcomes, refunds,
};
use avalon_queue::{JobContext, JobError};
use jiff::Timestamp;

use crate::job_errors;
use crate::payments::channel::{CallbackError, CallbackEvent, RefundReport};
use crate::payments::{refund, settlement};
use crate::services::Services;

pub(crate) async fn handle(
    services: Arc<Services>,
    job: Callback,
    context: JobContext,
) -> Result<CallbackOutcome, JobError> {
    let entry = services
        .inbox
        .by_id(job.inbox_id)
        .await
        .map_err(job_errors::payment)?;
    // A forged one is deleted once it is judged, and its job may run twice.
    let Some(entry) = entry else {
        return Err(job_errors::reject(ProblemCode::NotFound));
    };
    if let Some(outcome) = entry.outcome {
        return Ok(outcome);
    }
    let last_attempt = context.attempt >= context.max_attempts;
    let Processed { outcome, recorded } = process(&services, &entry, last_attempt).await?;
    if !recorded {
        inbox::processed(&services.database, entry.id, outcome)
            .await
            .map_err(job_errors::payment)?;
    }
    services.metrics.callback(outcome, entry.received.channel);
    if outcome.needs_attention() {
        tracing::error!(inbox_id = %entry.id, %outcome, "a payment callback needs an operator");
    }
    Ok(outcome)
}

/// The outcome of a callback.
struct Processed {
    outcome: CallbackOutcome,
    /// Whether the inbox has it already.
    recorded: bool,
}

impl From<CallbackOutcome> for Processed {
    fn from(outcome: CallbackOutcome) -> Self {
        Self {
            outcome,
            recorded: false,
        }
    }
}

async fn process(
    services: &Services,
    entry: &Entry,
    last_attempt: bool,
) -> Result<Processed, JobError> {
    let channel = settlement::payments(services)?
        .channels
        .get(entry.received.channel)?;
    let received_at = Timestamp::from_millisecond(entry.received_at).unwrap_or_default();
    match channel.read_callback(&entry.received, received_at).await {
        Ok(CallbackEvent::Payment(report)) => {
            if settlement::apply_reported(services, &report, Cause::Callback, Some(entry.id))
                .await?
            {
                return Ok(Processed {
                    outcome: CallbackOutcome::Granted,
                    recorded: true,
                });
            }
            let applied = settlement::apply(services, &report, Cause::Callback).await;
            applied.map(Processed::from)
        }
        Ok(CallbackEvent::Refund(report)) => {
            apply_refund(services, entry.received.channel, &report)
                .await
                .map(Processed::from)
        }
        Err(CallbackError::Rejected(outcome)) => Ok(outcome.into()),
        Err(CallbackError::UnknownKey) if last_attempt => Ok(CallbackOutcome::UnknownSerial.into()),
        Err(CallbackError::UnknownKey) => Err(job_errors::retry(ProblemCode::PayBusy)),
    }
}

async fn apply_refund(
    services: &Services,
    channel: Channel,
    report: &RefundReport,
) -> Result<CallbackOutcome, JobError> {
    let database = &services.database;
    let Ok(id) = report.refund_number.parse() else {
        return Ok(CallbackOutcome::UnknownRefund);
    };
    let before = refunds::by_id(database, id)
        .await
        .map_err(job_errors::payment)?;
    let Some(before) = before else {
        return Ok(CallbackOutcome::UnknownRefund);
    };
    if before.amount != report.amount || before.order_id.to_string() != report.order_number {
        return Ok(CallbackOutcome::Mismatch);
    }
    let (status, number) = (report.state.status, &report.state.channel_refund_id);
    match refund_outcomes::apply(
        database,
        id,
        status,
        Some(number),
        services.webhooks(),
        Timestamp::now(),
    )
    .await
    {
        // The money has arrived although our records rule that out.
        Ok((after, _))
            if status == RefundStatus::Succeeded && after.status != RefundStatus::Succeeded =>
        {
            Ok(CallbackOutcome::Mismatch)
        }
        Ok((after, changed)) => {
            refund::announce(services, channel, &before, &after, changed.as_ref()).await;
            Ok(CallbackOutcome::Refund)
        }
        Err(PaymentError::UnknownOrder) => Ok(CallbackOutcome::UnknownRefund),
        Err(error) => Err(job_errors::payment(error)),
    }
}
