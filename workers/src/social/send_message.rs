//! Sends a subscribe message, at most once: the message is marked before the call, and one whose answer is lost is
//! given up. An attempt that finds the mark of an earlier one knows that its answer was lost.

use std::sync::Arc;
use std::time::Duration;

use avalon_core::accounts::users;
use avalon_core::base::problem::ProblemCode;
use avalon_core::jobs::SendMessage;
use avalon_core::social::messages::{self, Claim, Message, MessageError, MessageStatus};
use avalon_queue::{JobContext, JobError};
use avalon_wechat::{ErrCode, ErrorClass, OpenId, SubscribeMessage, WechatError, rejected_field};
use backon::{ExponentialBuilder, Retryable};
use jiff::Timestamp;

use crate::job_errors;
use crate::services::Services;
use crate::social::metrics::SendOutcome;
use crate::social::report_message::ReportMessage;

/// Pause while another message of the player is being sent.
const BUSY_PAUSE: Duration = Duration::from_millis(500);
/// Time limit of recording what became of a call. Short of the job's, since a lost record counts as a lost answer.
const RECORD_TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) async fn handle(
    services: Arc<Services>,
    job: SendMessage,
    _: JobContext,
) -> Result<MessageStatus, JobError> {
    let (database, metrics) = (&services.database, &services.messages.metrics);
    let found = messages::by_id(database, job.message_id).await;
    let Some(message) = found.map_err(job_errors::message)? else {
        return Err(job_errors::reject(ProblemCode::NotFound));
    };
    let now = Timestamp::now();
    match message.status {
        MessageStatus::Queued => {}
        MessageStatus::Sending => {
            if messages::abandon(database, message.id)
                .await
                .map_err(job_errors::message)?
            {
                metrics.send(SendOutcome::Lost);
                tracing::warn!(message_id = %message.id, "message given up, its answer was lost");
            }
            return Ok(MessageStatus::Lost);
        }
        MessageStatus::Failed => {
            report(&services, &message).await?;
            return Ok(message.status);
        }
        ended => return Ok(ended),
    }
    if let Some(pause) = remaining(message.due_at, now) {
        return Err(job_errors::retry_after(
            ProblemCode::WechatBusy,
            Some(pause),
        ));
    }
    let user = users::by_id(database, message.user)
        .await
        .map_err(job_errors::user)?;
    let user = user.ok_or_else(|| job_errors::reject(ProblemCode::UserNotFound))?;
    let claimed = messages::claim(database, message.id, services.messages.per_day, now).await;
    let message = match claimed.map_err(job_errors::message)? {
        Claim::Send(message) => message,
        Claim::Busy => {
            return Err(job_errors::retry_after(
                ProblemCode::WechatBusy,
                Some(BUSY_PAUSE),
            ));
        }
        Claim::Not(status) => {
            match status {
                MessageStatus::Unsubscribed => metrics.send(SendOutcome::Unsubscribed),
                MessageStatus::Capped => metrics.send(SendOutcome::Capped),
                _ => {}
            }
            return Ok(status);
        }
    };
    let sent = services
        .platform
        .send_subscribe_message(&SubscribeMessage {
            open_id: &OpenId::new(user.open_id),
            template_id: &message.template_id,
            data: &message.data,
            page: message.page.as_deref(),
            state: services.messages.state,
            language: services.messages.language,
        })
        .await;
    settle(&services, &message, sent).await
}

/// Returns the time until a message may be sent, if that is in the future.
fn remaining(due_at: i64, now: Timestamp) -> Option<Duration> {
    let ms = u64::try_from(due_at - now.as_millisecond()).ok()?;
    (ms > 0).then(|| Duration::from_millis(ms))
}

/// Records what became of the call.
async fn settle(
    services: &Services,
    message: &Message,
    sent: Result<Option<String>, WechatError>,
) -> Result<MessageStatus, JobError> {
    let (database, metrics) = (&services.database, &services.messages.metrics);
    let now = Timestamp::now();
    let error = match sent {
        Ok(wechat_id) => {
            metrics.send(SendOutcome::Sent);
            let id = wechat_id.as_deref();
            record(|| messages::sent(database, message.id, id)).await?;
            return Ok(MessageStatus::Sent);
        }
        Err(error) => error,
    };
    if error.code() == Some(ErrCode::NOT_SUBSCRIBED) {
        metrics.send(SendOutcome::Refused);
        tracing::debug!(message_id = %message.id, "the player accepts no more messages");
        record(|| messages::refused(database, message, None, now)).await?;
        return Ok(MessageStatus::Unsubscribed);
    }
    if error.may_have_taken_effect() {
        metrics.send(SendOutcome::Lost);
        tracing::warn!(%error, message_id = %message.id, "message given up, its answer was lost");
        record(|| async { messages::abandon(database, message.id).await.map(|_| ()) }).await?;
        return Ok(MessageStatus::Lost);
    }
    match (error.class(), error.code()) {
        (ErrorClass::Permanent, Some(code)) => {
            metrics.send(SendOutcome::Failed);
            let field = rejected_field(&error).map(str::to_owned);
            tracing::error!(%error, message_id = %message.id, field, "WeChat rejects a message");
            let rejected = Some((code.0, field.as_deref()));
            record(|| messages::refused(database, message, rejected, now)).await?;
            report(services, message).await?;
            Ok(MessageStatus::Failed)
        }
        _ => {
            metrics.send(SendOutcome::Delayed);
            record(|| messages::not_sent(database, message, now, now)).await?;
            Err(job_errors::wechat(&error))
        }
    }
}

async fn record<F: Future<Output = Result<(), MessageError>>>(
    write: impl FnMut() -> F,
) -> Result<(), JobError> {
    let backoff = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(50))
        .with_max_delay(Duration::from_secs(1))
        .with_total_delay(Some(RECORD_TIMEOUT))
        .without_max_times()
        .with_jitter();
    let transient = |error: &MessageError| matches!(error, MessageError::Database(error) if error.is_transient());
    write
        .retry(backoff)
        .when(transient)
        .await
        .map_err(job_errors::message)
}

/// Has the game server notified of a message that WeChat rejects.
async fn report(services: &Services, message: &Message) -> Result<(), JobError> {
    if services.webhook.is_some() {
        let job = ReportMessage {
            message_id: message.id,
        };
        services.enqueue(&job).await?;
    }
    Ok(())
}
