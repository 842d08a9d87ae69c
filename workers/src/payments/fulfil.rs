//! Delivers a webhook about a paid or refunded order to the game server, retrying for more than a day.

use std::sync::Arc;
use std::time::Duration;

use avalon_core::base::ids::FulfilmentId;
use avalon_core::base::problem::ProblemCode;
use avalon_core::jobs::{self, FULFIL};
use avalon_core::payments::fulfilments;
use avalon_queue::{
    Failure, IdempotencyKey, Jitter, Job, JobContext, JobError, QueueName, RetryPolicy,
};
use serde::{Deserialize, Serialize};

use crate::job_errors;
use crate::services::Services;

/// Delivers a webhook.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Fulfil {
    /// The webhook.
    pub fulfilment_id: FulfilmentId,
}

impl Job for Fulfil {
    const QUEUE: QueueName = FULFIL;
    const KIND: &'static str = "fulfil";
    // Between 32 and 65 hours.
    const RETRY: RetryPolicy = RetryPolicy {
        max_attempts: 29,
        base: Duration::from_secs(2),
        cap: Duration::from_secs(4 * 3600),
    };
    const JITTER: Jitter = Jitter::Half;
    const TIME_LIMIT: Duration = Duration::from_secs(30);
    const RESULT_TTL: Duration = Duration::from_secs(60);
    type Output = ();

    /// One job per webhook.
    fn key(&self) -> Option<IdempotencyKey> {
        let key = format!("fulfil:{}", self.fulfilment_id);
        Some(IdempotencyKey::new(key, Self::RESULT_TTL))
    }
}

pub(crate) async fn handle(
    services: Arc<Services>,
    job: Fulfil,
    _: JobContext,
) -> Result<(), JobError> {
    let Some(webhook) = &services.webhook else {
        return Err(JobError::Fail(jobs::failure(&ProblemCode::NotFound.into())));
    };
    let fulfilment = fulfilments::by_id(&services.database, job.fulfilment_id)
        .await
        .map_err(job_errors::payment)?;
    let Some(fulfilment) = fulfilment.filter(|fulfilment| !fulfilment.delivered) else {
        return Ok(());
    };
    let must_wait = fulfilments::must_wait(&services.database, &fulfilment)
        .await
        .map_err(job_errors::payment)?;
    if must_wait {
        let detail = "the webhook of the order's payment is not delivered yet";
        return Err(JobError::retry(Failure::new("WEBHOOK_FAILED", detail)));
    }
    let id = fulfilment.id;
    let sent = webhook.send(&id.to_string(), &fulfilment.body).await;
    sent.map_err(|error| {
        tracing::warn!(%error, webhook_id = %id, "webhook delivery failed");
        JobError::retry(Failure::new("WEBHOOK_FAILED", error.to_string()))
    })?;
    fulfilments::delivered(&services.database, id)
        .await
        .map_err(job_errors::payment)
}

#[cfg(test)]
mod tests {
    use avalon_core::payments::fulfilments::MAX_AGE;

    use super::*;

    #[test]
    fn a_webhook_is_retried_for_at_least_a_day() {
        let waits = 1..Fulfil::RETRY.max_attempts;
        let least: Duration = waits
            .map(|attempt| Fulfil::RETRY.floor(attempt, Fulfil::JITTER))
            .sum();
        assert!(least >= Duration::from_secs(24 * 3600), "{least:?}");
    }

    #[test]
    fn the_sweeper_finds_a_webhook_as_long_as_its_job_may_exist() {
        let waits = 1..Fulfil::RETRY.max_attempts;
        let most: Duration = waits.map(|attempt| Fulfil::RETRY.ceiling(attempt)).sum();
        assert!(most < MAX_AGE, "{most:?}");
    }
}
