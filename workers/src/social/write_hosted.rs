//! Writes a player's scores to WeChat's cloud storage, one call at a time, the newest last.

use std::sync::Arc;
use std::time::Duration;

use avalon_core::accounts::session_keys;
use avalon_core::base::ids::UserId;
use avalon_core::jobs::SOCIAL;
use avalon_core::social::hosted::{self, Claim, Intent};
use avalon_queue::{IdempotencyKey, Job, JobContext, JobError, QueueName, RetryPolicy};
use avalon_wechat::{ErrorClass, SessionKey, WechatError};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use strum::{AsRefStr, IntoStaticStr, VariantArray};

use crate::job_errors;
use crate::services::Services;

/// Writes the scores of a player.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct WriteHosted {
    /// The player.
    pub(crate) user_id: UserId,
}

impl Job for WriteHosted {
    const QUEUE: QueueName = SOCIAL;
    const KIND: &'static str = "write_hosted";
    /// The sweeper enqueues it again from the player's row.
    const RETRY: RetryPolicy = RetryPolicy {
        max_attempts: 3,
        base: Duration::from_secs(1),
        cap: Duration::from_secs(5),
    };
    const TIME_LIMIT: Duration = Duration::from_secs(45);
    const RESULT_TTL: Duration = Duration::from_secs(60);
    const DEAD_TTL: Option<Duration> = Some(Duration::from_secs(3600));
    type Output = Option<WriteOutcome>;

    /// One job at a time per player.
    fn key(&self) -> Option<IdempotencyKey> {
        let key = format!("write_hosted:{}", self.user_id);
        Some(IdempotencyKey::new(key, Duration::from_millis(1)))
    }
}

/// What writing came to. The names are label values.
#[derive(
    AsRefStr, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr, VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub(crate) enum WriteOutcome {
    /// WeChat has the scores.
    Written,
    /// The session key is stale: the scores wait for the next sign-in.
    Parked,
    /// WeChat rejects the scores for good.
    Rejected,
    /// WeChat is unavailable; tried again later.
    Failed,
}

pub(crate) async fn handle(
    services: Arc<Services>,
    job: WriteHosted,
    _: JobContext,
) -> Result<Option<WriteOutcome>, JobError> {
    let database = &services.database;
    let now = Timestamp::now();
    let claimed = hosted::claim(database, job.user_id, now).await;
    let Some(claim) = claimed.map_err(job_errors::database)? else {
        return Ok(None);
    };
    let keys = session_keys::of_player(database, &services.keyring, &claim.open_id)
        .await
        .map_err(job_errors::session_keys)?;
    let version = keys.as_ref().map_or(0, |keys| keys.version);
    let key = keys.filter(|_| claim.parked_version.is_none_or(|parked| parked < version));
    let Some(key) = key else {
        // The key that WeChat refused, or none: nothing to try.
        park(&services, &claim, version).await?;
        return Ok(None);
    };
    let intents = hosted::unwritten(database, &claim)
        .await
        .map_err(job_errors::database)?;
    let written = match write(&services, &claim, &key.current, &intents).await {
        Ok(()) => {
            finish(&services, &claim, &intents).await?;
            WriteOutcome::Written
        }
        Err(error) if error.class() == ErrorClass::SignInAgain => {
            park(&services, &claim, version).await?;
            WriteOutcome::Parked
        }
        Err(error) if error.class() == ErrorClass::Permanent => {
            tracing::error!(%error, "WeChat rejects scores of a player");
            finish(&services, &claim, &intents).await?;
            WriteOutcome::Rejected
        }
        Err(error) => {
            let pause = hosted::failed(database, &claim, Timestamp::now()).await;
            let pause = pause.map_err(job_errors::database)?;
            tracing::warn!(%error, ?pause, "scores could not be written to WeChat, will retry");
            WriteOutcome::Failed
        }
    };
    services.messages.metrics.written(written);
    Ok(Some(written))
}

async fn write(
    services: &Services,
    claim: &Claim,
    key: &SessionKey,
    intents: &[Intent],
) -> Result<(), WechatError> {
    let (platform, open_id) = (&services.platform, &claim.open_id);
    let set: Vec<_> = intents
        .iter()
        .filter_map(|intent| Some((intent.key.as_str(), intent.ranking_score()?)))
        .collect();
    if !set.is_empty() {
        platform.set_user_storage(open_id, key, &set).await?;
    }
    // A score beyond WeChat's 32 bits is not shown, rather than an old one.
    let remove: Vec<_> = intents
        .iter()
        .filter(|intent| intent.ranking_score().is_none())
        .map(|intent| intent.key.as_str())
        .collect();
    if !remove.is_empty() {
        platform.remove_user_storage(open_id, key, &remove).await?;
    }
    Ok(())
}

async fn finish(services: &Services, claim: &Claim, intents: &[Intent]) -> Result<(), JobError> {
    hosted::written(&services.database, claim, intents, Timestamp::now())
        .await
        .map_err(job_errors::database)
}

async fn park(services: &Services, claim: &Claim, version: i64) -> Result<(), JobError> {
    hosted::park(&services.database, claim, version, Timestamp::now())
        .await
        .map_err(job_errors::database)
}
