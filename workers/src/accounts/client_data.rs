//! Opens what WeChat's client gave a player to pass on, with the player's session keys, newest first.
//! What the data mean is the business of the job kinds that ask for it.

use avalon_core::accounts::session_keys;
use avalon_core::base::problem::{Problem, ProblemCode};
use avalon_core::jobs;
use avalon_queue::{JobContext, JobError};
use avalon_wechat::{DataError, EncryptedData, Expected, OpenId, OpenedData, SessionKey};
use jiff::Timestamp;

use crate::accounts::probe_session_key::ProbeSessionKey;
use crate::job_errors;
use crate::metrics::DataKind;
use crate::services::Services;

/// When the data came in. What waits in the queue does not grow stale there.
pub(crate) fn received_at(context: &JobContext) -> Timestamp {
    i64::try_from(context.enqueued_at)
        .ok()
        .and_then(|ms| Timestamp::from_millisecond(ms).ok())
        .unwrap_or_else(Timestamp::now)
}

/// Opens encrypted data with the keys that were good when it came in.
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

/// Tries the keys that were good when the data came in, until one fits.
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
        .flat_map(|keys| keys.valid_at(received_at, grace));
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

/// Has it found out whether the key is stale or the data were changed. By a job of its own: whoever sent
/// them must not learn it, not even by waiting for the answer.
async fn probe(services: &Services, open_id: &OpenId, version: i64) {
    let open_id = open_id.clone();
    let probe = ProbeSessionKey { open_id, version };
    if services.enqueue(&probe).await.is_err() {
        tracing::debug!("session key probe could not be enqueued");
    }
}

/// Counts and tells what is wrong with data.
pub(crate) fn refuse(services: &Services, kind: DataKind, error: DataError) -> JobError {
    let word = word(error);
    services.profile_metrics.data(kind, word);
    tracing::info!(
        kind = kind.as_str(),
        reason = word,
        "a client's data are refused"
    );
    let problem = match error {
        // No more than the code says: whoever sent it is not to learn what went wrong.
        DataError::KeyMismatch => Problem::new(ProblemCode::SignInAgain),
        DataError::MissingWatermark | DataError::AppMismatch | DataError::Stale(_) => {
            Problem::new(ProblemCode::WatermarkRefused).with_detail(error.to_string())
        }
        DataError::Field(_) => return job_errors::field(error),
    };
    JobError::Reject(jobs::failure(&problem))
}

/// The error as a metrics label and log field.
fn word(error: DataError) -> &'static str {
    match error {
        DataError::KeyMismatch => "key_does_not_fit",
        DataError::MissingWatermark => "no_watermark",
        DataError::AppMismatch => "other_app",
        DataError::Stale(_) => "stale",
        DataError::Field(_) => "field_invalid",
    }
}
