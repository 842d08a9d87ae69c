//! Notifies the game server of a message that WeChat rejects: `message.failed`.

use std::sync::Arc;
use std::time::Duration;

use avalon_core::base::ids::MessageId;
use avalon_core::base::iso_time::IsoTime;
use avalon_core::jobs::FULFIL;
use avalon_core::social::messages::{self, Message, MessageStatus};
use avalon_queue::{
    Failure, IdempotencyKey, Jitter, Job, JobContext, JobError, QueueName, RetryPolicy,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::job_errors;
use crate::payments::fulfil::Fulfil;
use crate::services::Services;

/// Reports a failed message.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ReportMessage {
    /// The message; also the `webhook-id` of every attempt.
    pub(crate) message_id: MessageId,
}

impl Job for ReportMessage {
    const QUEUE: QueueName = FULFIL;
    const KIND: &'static str = "report_message";
    const RETRY: RetryPolicy = Fulfil::RETRY;
    const JITTER: Jitter = Jitter::Half;
    const TIME_LIMIT: Duration = Duration::from_secs(30);
    const RESULT_TTL: Duration = Duration::from_secs(60);
    type Output = ();

    /// One job per message.
    fn key(&self) -> Option<IdempotencyKey> {
        let key = format!("report_message:{}", self.message_id);
        Some(IdempotencyKey::new(key, Self::RESULT_TTL))
    }
}

pub(crate) async fn handle(
    services: Arc<Services>,
    job: ReportMessage,
    _: JobContext,
) -> Result<(), JobError> {
    let found = messages::by_id(&services.database, job.message_id).await;
    let found = found.map_err(job_errors::message)?;
    let failed = found.filter(|message| message.status == MessageStatus::Failed);
    let (Some(message), Some(webhook)) = (failed, &services.webhook) else {
        return Ok(());
    };
    let id = message.id.to_string();
    webhook.send(&id, &body(&message)).await.map_err(|error| {
        tracing::warn!(%error, webhook_id = id, "webhook delivery failed");
        JobError::retry(Failure::new("WEBHOOK_FAILED", error.to_string()))
    })?;
    messages::reported(&services.database, message.id, Timestamp::now())
        .await
        .map_err(job_errors::message)
}

/// The body, the same in each attempt.
fn body(message: &Message) -> String {
    let at = IsoTime::from_millisecond(message.created_at);
    let mut data = json!({
        "messageId": message.id,
        "userId": message.user,
        "templateId": message.template_id,
        "code": message.error_code,
    });
    if let Some(field) = &message.error_field {
        data["field"] = field.as_str().into();
    }
    json!({"type": "message.failed", "timestamp": at, "data": data}).to_string()
}
