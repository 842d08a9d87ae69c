//! The job behind `resetSessionKey`: has WeChat make a new key, and stores it as the player's.

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

/// How long a database that is away is waited for: the old key is dead already, and nobody else knows
/// the new one.
const STORE_PATIENCE: Duration = Duration::from_secs(15);

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
    // An attempt whose answer was lost may have reset it: then WeChat does not know the old key any
    // more, and the player has to sign in.
    let new = services
        .platform
        .reset_session_key(&job.open_id, &old)
        .await
        .map_err(|error| job_errors::wechat(&error))?;
    let patience = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(50))
        .with_max_delay(Duration::from_secs(1))
        .with_total_delay(Some(STORE_PATIENCE))
        .without_max_times()
        .with_jitter();
    let now = Timestamp::now();
    let stored = (|| session_keys::reset(database, keyring, &job.open_id, &old, &new, now))
        .retry(patience)
        .when(SessionKeyError::is_transient)
        .await
        .map_err(job_errors::session_keys)?;
    tracing::warn!(stored, "a session key was reset");
    Ok(SessionKeyReset { stored })
}
