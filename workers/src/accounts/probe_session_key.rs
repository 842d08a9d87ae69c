//! The job that tells a stale session key from changed data, in logs and metrics.

use std::sync::Arc;

use avalon_core::accounts::session_keys;
use avalon_core::jobs::ProbeSessionKey;
use avalon_core::jobs::probe_session_key::Probed;
use avalon_queue::{JobContext, JobError};
use avalon_wechat::{ErrorClass, OpenId, SessionCheck};

use crate::job_errors;
use crate::services::Services;

pub(crate) async fn handle(
    services: Arc<Services>,
    job: ProbeSessionKey,
    _: JobContext,
) -> Result<Probed, JobError> {
    let open_id = OpenId::new(&*job.open_id);
    let keys = session_keys::of_player(&services.database, &services.keyring, &open_id)
        .await
        .map_err(job_errors::session_keys)?;
    let probed = match keys.filter(|keys| keys.version == job.version) {
        None => Probed::Stale,
        Some(keys) => match services
            .platform
            .check_session(&open_id, &keys.current)
            .await
        {
            Ok(SessionCheck::Valid) => Probed::Valid,
            Ok(SessionCheck::Stale) => Probed::Stale,
            Err(error) => {
                if error.class() == ErrorClass::Misconfigured {
                    tracing::warn!(%error, "WeChat does not tell us of session keys: an operator must act");
                } else {
                    tracing::debug!(%error, "WeChat does not tell whether a session key is stale");
                }
                Probed::Unknown
            }
        },
    };
    services.profile_metrics.probed(probed);
    tracing::info!(session_key = %probed, "a session key did not fit a client's data");
    Ok(probed)
}
