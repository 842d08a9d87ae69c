//! A payment callback from the inbox: verified (if that was not possible at the door), decrypted,
//! compared with what we know, acted upon. Every end has a word, kept in the inbox and counted.

use std::sync::Arc;

use avalon_core::base::problem::ProblemCode;
use avalon_core::jobs::Callback;
use avalon_core::payments::inbox::{self, Entry};
use avalon_core::payments::{PaymentError, RefundStatus, refund_ends, refunds};
use avalon_queue::{JobContext, JobError};
use avalon_wechat::pay::{Event, RefundNotice, SignatureHeaders, VerifyError};
use jiff::Timestamp;

use crate::job_errors;
use crate::payments::refund::status_of;
use crate::payments::wechat_pay;
use crate::services::Services;

pub(crate) async fn handle(
    services: Arc<Services>,
    job: Callback,
    context: JobContext,
) -> Result<String, JobError> {
    let entry = inbox::by_id(&services.database, &job.inbox_id)
        .await
        .map_err(job_errors::payment)?;
    let Some(entry) = entry else {
        return Err(job_errors::reject(ProblemCode::NotFound));
    };
    if let Some(outcome) = entry.outcome {
        return Ok(outcome);
    }
    let last_attempt = context.attempt >= context.max_attempts;
    let outcome = process(&services, &entry, last_attempt).await?;
    inbox::processed(&services.database, &entry.id, outcome)
        .await
        .map_err(job_errors::payment)?;
    services.metrics.callback(outcome);
    if !matches!(outcome, "granted" | "duplicate" | "refund") {
        tracing::error!(
            inbox_id = entry.id,
            outcome,
            "a callback that somebody should look at"
        );
    }
    Ok(outcome.to_owned())
}

async fn process(
    services: &Services,
    entry: &Entry,
    last_attempt: bool,
) -> Result<&'static str, JobError> {
    let pay = wechat_pay::payments(services)?;
    if !entry.received.verified {
        let Ok(headers) = serde_json::from_str::<SignatureHeaders>(&entry.received.headers) else {
            return Ok("malformed");
        };
        let received_at = Timestamp::from_millisecond(entry.received_at).unwrap_or_default();
        match pay
            .client
            .verify_callback(&headers, &entry.received.body, received_at)
            .await
        {
            Ok(()) => {}
            // Anybody can make up a serial; a true one is published before it is used.
            Err(VerifyError::UnknownSerial(_)) if last_attempt => return Ok("unknown_serial"),
            Err(VerifyError::UnknownSerial(_)) => {
                return Err(job_errors::retry(ProblemCode::PayBusy));
            }
            Err(error) => {
                tracing::error!(%error, inbox_id = entry.id, "a callback's signature is wrong");
                return Ok("bad_signature");
            }
        }
    }
    let notification = match pay.client.open_callback(&entry.received.body) {
        Ok(notification) => notification,
        Err(error) => {
            tracing::error!(%error, inbox_id = entry.id, "a rightly signed callback can't be read");
            return Ok("unreadable");
        }
    };
    match &notification.event {
        Event::Transaction(transaction) => {
            wechat_pay::apply(services, transaction, "callback").await
        }
        Event::Refund(notice) => refund(services, notice).await,
        Event::Unknown => Ok("unknown_event"),
    }
}

async fn refund(services: &Services, notice: &RefundNotice) -> Result<&'static str, JobError> {
    if notice.mch_id
        != wechat_pay::payments(services)?
            .client
            .settings()
            .mch_id
            .as_str()
    {
        return Ok("other_merchant");
    }
    let Some(status) = status_of(&notice.state) else {
        return Ok("unknown_event");
    };
    let (id, channel_id) = (&notice.out_refund_no, Some(notice.refund_id.as_str()));
    let before = refunds::by_id(&services.database, id)
        .await
        .map_err(job_errors::payment)?;
    let Some(before) = before else {
        return Ok("unknown_refund");
    };
    if before.amount != notice.amount.refund.get() || before.order_id != notice.out_trade_no {
        return Ok("mismatch");
    }
    match refund_ends::told(&services.database, id, status, channel_id, Timestamp::now()).await {
        // The money is back, and the books say that it can't be.
        Ok((told, _))
            if status == RefundStatus::Succeeded && told.status != RefundStatus::Succeeded =>
        {
            Ok("mismatch")
        }
        Ok((told, changed)) => {
            crate::payments::refund::announce(services, &before, &told, changed.as_ref()).await;
            Ok("refund")
        }
        Err(PaymentError::UnknownOrder) => Ok("unknown_refund"),
        Err(error) => Err(job_errors::payment(error)),
    }
}
