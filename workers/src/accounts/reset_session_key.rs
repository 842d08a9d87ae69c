//! The job behind `resetSessionKey`: requests a new key from WeChat and stores it.

use std::sync::Arc;
use std::time::Duration;

use avalon_core::accounts::session_keys::{self, SessionKeyError};
use avalon_core::base::problem::ProblemCode;
use avalon_core::jobs::ResetSessionKey;
use avalon_core::jobs::reset_session_key::SessionKeyReset;
use avalon_queue::{JobContext, JobError};
use backon::{ExponentialBuilder, Retryable};
use jiff::Timestamp;

use crate::job_errors;
use crate::services::Services;

/// Time limit of storing the new key. Long, because the old key is already invalid and the new one is
/// stored nowhere else.
const STORE_TIMEOUT: Duration = Duration::from_secs(15);

pub(crate) async fn handle(
    services: Arc<Services>,
    job: ResetSessionKey,
    _: JobContext,
) -> Result<SessionKeyReset, JobError> {
    let Services {
        database, keyring, ..
    } = &*services;
    let keys = session_keys::of_player(database, keyring, &job.open_id)
        .await
        .map_err(job_errors::session_keys)?;
    let old = keys.ok_or_else(|| job_errors::reject(ProblemCode::SignInAgain))?;
    let old = old.current;
    // If an earlier attempt reset the key and lost the response, WeChat no longer knows the old key, and
    // the player has to sign in.
    let new = services
        .platform
        .reset_session_key(&job.open_id, &old)
        .await
        .map_err(|error| job_errors::wechat(&error))?;
    let backoff = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(50))
        .with_max_delay(Duration::from_secs(1))
        .with_total_delay(Some(STORE_TIMEOUT))
        .without_max_times()
        .with_jitter();
    let now = Timestamp::now();
    let stored = (|| session_keys::reset(database, keyring, &job.open_id, &old, &new, now))
        .retry(backoff)
        .when(SessionKeyError::is_transient)
        .await
        .map_err(job_errors::session_keys)?;
    tracing::warn!(stored, "session key reset");
    Ok(SessionKeyReset { stored })
}
