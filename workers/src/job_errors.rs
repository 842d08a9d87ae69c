//! Maps failures of the stores and of WeChat's platform to the outcome of a job: retry, rejection or dead
//! letter. One mapping for all job kinds; that of payment channels is in `payments::channel`.

use std::time::Duration;

use avalon_core::accounts::profiles::rows::ProfileError;
use avalon_core::accounts::session_keys::SessionKeyError;
use avalon_core::accounts::users::UserError;
use avalon_core::base::problem::{Problem, ProblemCode};
use avalon_core::jobs;
use avalon_core::payments::PaymentError;
use avalon_core::social::boards::BoardError;
use avalon_core::social::messages::MessageError;
use avalon_core::storage::database::DatabaseError;
use avalon_queue::{JobError, StoreError};
use avalon_wechat::{ErrorClass, WechatError};

/// Rejects the request; the client gets the code.
pub(crate) fn reject(code: ProblemCode) -> JobError {
    JobError::Reject(jobs::failure(&code.into()))
}

/// Rejects a field, which the error names.
pub(crate) fn field(error: impl std::fmt::Display) -> JobError {
    let problem = Problem::new(ProblemCode::FieldInvalid).with_detail(error.to_string());
    JobError::Reject(jobs::failure(&problem))
}

/// Retries by the kind's policy.
pub(crate) fn retry(code: ProblemCode) -> JobError {
    JobError::retry(jobs::failure(&code.into()))
}

/// Tries again after the pause of a circuit breaker, or else when the kind's policy says so. The jobs
/// that a pause held back return over its length, not all at once.
pub(crate) fn retry_after(code: ProblemCode, pause: Option<Duration>) -> JobError {
    let spread = |pause: Duration| pause + pause.mul_f64(fastrand::f64());
    JobError::Retry {
        after: pause.map(spread),
        failure: jobs::failure(&code.into()),
    }
}

/// Ends the last attempt of a job that the schedule or the sweeper repeats: the next run does the same work.
/// An outage would otherwise leave a dead letter of each run, however many orders wait, and an operator
/// would only purge them.
pub(crate) fn left_to_next_run(error: JobError, last_attempt: bool) -> JobError {
    match error {
        JobError::Retry { failure, .. } if last_attempt => JobError::Reject(failure),
        error => error,
    }
}

pub(crate) fn payment(error: PaymentError) -> JobError {
    let failure = jobs::failure(&error.problem());
    if error.is_transient() {
        tracing::warn!(%error, "database unavailable, will retry");
        JobError::retry(failure)
    } else if matches!(error, PaymentError::Database(_)) {
        tracing::error!(%error, "database statement failed");
        JobError::Fail(failure)
    } else {
        JobError::Reject(failure)
    }
}

/// Maps a session key that cannot be decrypted to a missing one: the next sign-in stores a new one.
pub(crate) fn database(error: DatabaseError) -> JobError {
    payment(PaymentError::Database(error))
}

pub(crate) fn message(error: MessageError) -> JobError {
    match error {
        MessageError::Database(error) => database(error),
        error => JobError::Reject(jobs::failure(&error.problem())),
    }
}

pub(crate) fn session_keys(error: SessionKeyError) -> JobError {
    if error.is_transient() {
        tracing::warn!(%error, "database unavailable, will retry");
        return retry(ProblemCode::StoreUnavailable);
    }
    tracing::error!(%error, "session key cannot be decrypted");
    match error {
        SessionKeyError::Database(_) => {
            JobError::Fail(jobs::failure(&ProblemCode::Internal.into()))
        }
        SessionKeyError::Keyring(_) | SessionKeyError::NotText => reject(ProblemCode::SignInAgain),
    }
}

pub(crate) fn board(error: BoardError) -> JobError {
    let failure = jobs::failure(&error.problem());
    if error.is_transient() {
        tracing::warn!(%error, "leaderboards unavailable, will retry");
        JobError::retry(failure)
    } else {
        tracing::error!(%error, "leaderboards failed");
        JobError::Fail(failure)
    }
}

/// Maps the error of a platform call that changed nothing or may be repeated.
pub(crate) fn wechat(error: &WechatError) -> JobError {
    match error.class() {
        ErrorClass::Retry | ErrorClass::RefreshToken => {
            tracing::warn!(%error, "WeChat call failed, will retry");
            retry_after(ProblemCode::WechatBusy, error.retry_after())
        }
        ErrorClass::RateLimited => {
            tracing::warn!(%error, "WeChat rate limit reached, will retry");
            retry(ProblemCode::WechatRateLimited)
        }
        ErrorClass::SignInAgain => reject(ProblemCode::SignInAgain),
        ErrorClass::Permanent | ErrorClass::Misconfigured => {
            tracing::error!(%error, "WeChat rejected the call");
            JobError::Fail(jobs::failure(&ProblemCode::WechatMisconfigured.into()))
        }
    }
}

pub(crate) fn user(error: UserError) -> JobError {
    profile(error.into())
}

pub(crate) fn profile(error: ProfileError) -> JobError {
    if error.is_transient() {
        tracing::warn!(%error, "database unavailable, will retry");
        return retry(ProblemCode::StoreUnavailable);
    }
    tracing::error!(%error, "storing a profile failed");
    JobError::Fail(jobs::failure(&ProblemCode::Internal.into()))
}

pub(crate) fn queue(error: StoreError) -> JobError {
    tracing::warn!(%error, "enqueueing a follow-up job failed");
    retry(ProblemCode::QueueUnavailable)
}
