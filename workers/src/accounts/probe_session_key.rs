//! Asks WeChat whether it still accepts a session key that did not fit a player's data, and so
//! distinguishes a stale key from changed data. For operators alone: the player has been asked to sign
//! in again either way.

use std::sync::Arc;
use std::time::Duration;

use avalon_core::accounts::session_keys;
use avalon_core::jobs::MAINTENANCE;
use avalon_queue::{IdempotencyKey, Job, JobContext, JobError, QueueName, RetryPolicy};
use avalon_wechat::{ErrorClass, OpenId, SessionCheck};
use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display, IntoStaticStr, VariantArray};

use crate::job_errors;
use crate::services::Services;

/// Probes one version of a session key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ProbeSessionKey {
    /// The player's openid.
    pub(crate) open_id: OpenId,
    /// Version of the key that did not fit.
    pub(crate) version: i64,
}

impl Job for ProbeSessionKey {
    const QUEUE: QueueName = MAINTENANCE;
    const KIND: &'static str = "probe_session_key";
    const RETRY: RetryPolicy = RetryPolicy {
        max_attempts: 2,
        base: Duration::from_secs(1),
        cap: Duration::from_secs(5),
    };
    const TIME_LIMIT: Duration = Duration::from_secs(20);
    const RESULT_TTL: Duration = Duration::from_secs(60);
    const DEAD_TTL: Option<Duration> = Some(Duration::from_secs(3600));
    type Output = Probed;

    /// WeChat is asked once in this time, however often a player's data does not fit.
    fn key(&self) -> Option<IdempotencyKey> {
        let key = format!("probe:{}", self.open_id);
        Some(IdempotencyKey::new(key, Duration::from_secs(300)))
    }
}

/// Outcome of a probe.
#[derive(
    AsRefStr,
    Clone,
    Copy,
    Debug,
    Display,
    PartialEq,
    Eq,
    IntoStaticStr,
    Serialize,
    Deserialize,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub(crate) enum Probed {
    /// WeChat accepts the key: the data was changed, or belongs to another player.
    Valid,
    /// WeChat does not accept the key, or a sign-in has replaced it meanwhile.
    Stale,
    /// WeChat gave no answer.
    Unknown,
}

pub(crate) async fn handle(
    services: Arc<Services>,
    job: ProbeSessionKey,
    _: JobContext,
) -> Result<Probed, JobError> {
    let keys = session_keys::of_player(&services.database, &services.keyring, &job.open_id)
        .await
        .map_err(job_errors::session_keys)?;
    let probed = match keys.filter(|keys| keys.version == job.version) {
        None => Probed::Stale,
        Some(keys) => match services
            .platform
            .check_session(&job.open_id, &keys.current)
            .await
        {
            Ok(SessionCheck::Valid) => Probed::Valid,
            Ok(SessionCheck::Stale) => Probed::Stale,
            Err(error) => {
                if error.class() == ErrorClass::Misconfigured {
                    tracing::warn!(%error, "WeChat rejects session key checks, an operator must act");
                } else {
                    tracing::debug!(%error, "session key check failed");
                }
                Probed::Unknown
            }
        },
    };
    services.profile_metrics.probed(probed);
    tracing::info!(session_key = %probed, "probed a session key that did not fit a client's data");
    Ok(probed)
}
