//! Decrypts or verifies data of WeChat's client with the player's session keys, newest first. Interpreting
//! the data is up to the job kinds.

use avalon_core::accounts::session_keys;
use avalon_core::base::problem::{Problem, ProblemCode};
use avalon_core::jobs;
use avalon_queue::{JobContext, JobError};
use avalon_wechat::{DataError, EncryptedData, Expected, OpenId, OpenedData, SessionKey};
use jiff::Timestamp;

use crate::accounts::metrics::{DataKind, DataOutcome};
use crate::accounts::probe_session_key::ProbeSessionKey;
use crate::job_errors;
use crate::services::Services;

/// Returns when the data was received: it does not become stale while it waits in the queue.
pub(crate) fn received_at(context: &JobContext) -> Timestamp {
    i64::try_from(context.enqueued_at)
        .ok()
        .and_then(|ms| Timestamp::from_millisecond(ms).ok())
        .unwrap_or_else(Timestamp::now)
}

/// Decrypts data with the keys that were valid when it was received.
pub(crate) async fn open_encrypted(
    services: &Services,
    kind: DataKind,
    open_id: &OpenId,
    data: &EncryptedData,
    received_at: Timestamp,
) -> Result<OpenedData, JobError> {
    let rules = &services.profiles;
    let expected = Expected {
        app_id: &rules.app_id,
        now: received_at,
        window: rules.watermark_window,
    };
    let attempt = |key: &SessionKey| data.open(key, expected);
    open(services, kind, open_id, received_at, attempt).await
}

/// Tries the keys that were valid when the data was received, until one fits.
pub(crate) async fn open<T>(
    services: &Services,
    kind: DataKind,
    open_id: &OpenId,
    received_at: Timestamp,
    attempt: impl Fn(&SessionKey) -> Result<T, DataError>,
) -> Result<T, JobError> {
    let keys = session_keys::of_player(&services.database, &services.keyring, open_id)
        .await
        .map_err(job_errors::session_keys)?;
    let grace = services.profiles.session_key_grace;
    let good = keys
        .iter()
        .flat_map(|keys| keys.good_at(received_at, grace));
    for (age, key) in good.enumerate() {
        match attempt(key) {
            Ok(opened) => {
                services.profile_metrics.key_fitted(age == 0);
                return Ok(opened);
            }
            Err(DataError::KeyMismatch) => {}
            Err(error) => return Err(refuse(services, kind, error)),
        }
    }
    if let Some(keys) = &keys {
        probe(services, open_id, keys.version).await;
    }
    Err(refuse(services, kind, DataError::KeyMismatch))
}

/// Enqueues a check of whether the key is stale or the data was modified. A separate job, because the
/// sender must not learn the result, not even from the response time.
async fn probe(services: &Services, open_id: &OpenId, version: i64) {
    let open_id = open_id.clone();
    let probe = ProbeSessionKey { open_id, version };
    if services.enqueue(&probe).await.is_err() {
        tracing::debug!("session key probe could not be enqueued");
    }
}

/// Counts invalid data and returns the error.
pub(crate) fn refuse(services: &Services, kind: DataKind, error: DataError) -> JobError {
    let outcome = outcome(error);
    services.profile_metrics.data(kind, outcome);
    tracing::info!(
        kind = kind.as_ref(),
        reason = outcome.as_ref(),
        "client data rejected"
    );
    let problem = match error {
        // Without a detail: the sender must not learn what went wrong.
        DataError::KeyMismatch => Problem::new(ProblemCode::SignInAgain),
        DataError::MissingWatermark | DataError::AppMismatch | DataError::Stale(_) => {
            Problem::new(ProblemCode::WatermarkRefused).with_detail(error.to_string())
        }
        DataError::Field(_) => return job_errors::field(error),
    };
    JobError::Reject(jobs::failure(&problem))
}

fn outcome(error: DataError) -> DataOutcome {
    match error {
        DataError::KeyMismatch => DataOutcome::KeyMismatch,
        DataError::MissingWatermark => DataOutcome::MissingWatermark,
        DataError::AppMismatch => DataOutcome::AppMismatch,
        DataError::Stale(_) => DataOutcome::Stale,
        DataError::Field(_) => DataOutcome::FieldInvalid,
    }
}
