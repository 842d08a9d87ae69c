//! Reports an erased player to the game server, retrying for more than a day. Only then are openid and unionid
//! forgotten.

use std::sync::Arc;
use std::time::Duration;

use avalon_core::base::ids::ErasureId;
use avalon_core::base::problem::ProblemCode;
use avalon_core::jobs::FULFIL;
use avalon_core::personal::{ErasureError, Step, erasure};
use avalon_queue::{
    Failure, IdempotencyKey, Jitter, Job, JobContext, JobError, QueueName, RetryPolicy,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::job_errors;
use crate::payments::fulfil::Fulfil;
use crate::services::Services;

/// Reports an erasure.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ReportErasure {
    /// Its row.
    pub(crate) erasure_id: ErasureId,
}

impl Job for ReportErasure {
    const QUEUE: QueueName = FULFIL;
    const KIND: &'static str = "report_erasure";
    const RETRY: RetryPolicy = Fulfil::RETRY;
    const JITTER: Jitter = Fulfil::JITTER;
    const TIME_LIMIT: Duration = Fulfil::TIME_LIMIT;
    const RESULT_TTL: Duration = Duration::from_secs(60);
    type Output = ();

    /// One job per erasure.
    fn key(&self) -> Option<IdempotencyKey> {
        let key = format!("erased:{}", self.erasure_id);
        Some(IdempotencyKey::new(key, Self::RESULT_TTL))
    }
}

pub(crate) async fn handle(
    services: Arc<Services>,
    job: ReportErasure,
    _: JobContext,
) -> Result<(), JobError> {
    let Services {
        database, keyring, ..
    } = &*services;
    let Some(webhook) = &services.webhook else {
        return Err(job_errors::reject(ProblemCode::NotFound));
    };
    let found = erasure::by_id(database, job.erasure_id).await;
    let found = found.map_err(job_errors::database)?;
    let Some(erased) = found.filter(|erasure| erasure.step == Step::Notifying) else {
        return Ok(());
    };
    let identity = erasure::identity(database, keyring, &erased).await;
    let identity = identity.map_err(|error| match error {
        ErasureError::Database(error) => job_errors::database(error),
        error => JobError::retry(Failure::new("WEBHOOK_FAILED", error.to_string())),
    })?;
    let Some(identity) = identity else {
        return Ok(());
    };
    let body = erasure::webhook_body(&erased, &identity);
    let sent = webhook.send(&erased.id.to_string(), &body).await;
    sent.map_err(|error| {
        tracing::warn!(%error, webhook_id = %erased.id, "webhook delivery failed");
        JobError::retry(Failure::new("WEBHOOK_FAILED", error.to_string()))
    })?;
    erasure::notified(database, erased.id, Timestamp::now())
        .await
        .map_err(job_errors::database)
}
