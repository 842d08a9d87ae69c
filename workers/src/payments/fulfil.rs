//! Delivers a webhook to the game server, until it takes it.

use std::sync::Arc;

use avalon_core::base::problem::ProblemCode;
use avalon_core::jobs::{self, Fulfil};
use avalon_core::payments::fulfilments;
use avalon_queue::{Failure, JobContext, JobError};

use crate::job_errors;
use crate::services::Services;

pub(crate) async fn handle(
    services: Arc<Services>,
    job: Fulfil,
    _: JobContext,
) -> Result<(), JobError> {
    let Some(webhook) = &services.webhook else {
        return Err(JobError::Fail(jobs::failure(&ProblemCode::NotFound.into())));
    };
    let fulfilment = fulfilments::by_id(&services.database, &job.fulfilment_id)
        .await
        .map_err(job_errors::payment)?;
    let Some(fulfilment) = fulfilment.filter(|fulfilment| !fulfilment.delivered) else {
        return Ok(());
    };
    let waits = fulfilments::waits(&services.database, &fulfilment)
        .await
        .map_err(job_errors::payment)?;
    if waits {
        let detail = "the game server has not taken yet that the order was paid";
        return Err(JobError::retry(Failure::new("WEBHOOK_FAILED", detail)));
    }
    webhook.send(&fulfilment.id, &fulfilment.body).await.map_err(|error| {
        tracing::warn!(%error, webhook_id = fulfilment.id, "the game server did not take a webhook");
        JobError::retry(Failure::new("WEBHOOK_FAILED", error.to_string()))
    })?;
    fulfilments::delivered(&services.database, &fulfilment.id)
        .await
        .map_err(job_errors::payment)
}
