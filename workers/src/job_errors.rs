//! What a failure of a store or of WeChat Pay means for a job: tried again, refused, or given up.
//! One mapping for all job kinds.

use std::time::Duration;

use avalon_core::accounts::profiles::rows::ProfileError;
use avalon_core::accounts::session_keys::SessionKeyError;
use avalon_core::accounts::users::UserError;
use avalon_core::base::problem::{Problem, ProblemCode};
use avalon_core::jobs;
use avalon_core::payments::PaymentError;
use avalon_queue::{JobError, StoreError};
use avalon_wechat::pay::{PayError, PayErrorClass};
use avalon_wechat::{ErrorClass, WechatError};

/// Refuses: the request was wrong, and the caller is told so.
pub(crate) fn reject(code: ProblemCode) -> JobError {
    JobError::Reject(jobs::failure(&code.into()))
}

/// Refuses a field; the error names it.
pub(crate) fn field(error: impl std::fmt::Display) -> JobError {
    let problem = Problem::new(ProblemCode::FieldInvalid).with_detail(error.to_string());
    JobError::Reject(jobs::failure(&problem))
}

/// Tries again when the kind's policy says so.
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

pub(crate) fn payment(error: PaymentError) -> JobError {
    let failure = jobs::failure(&error.problem());
    if error.is_transient() {
        tracing::warn!(%error, "the job waits for the database");
        JobError::retry(failure)
    } else if matches!(error, PaymentError::Database(_)) {
        tracing::error!(%error, "a statement failed");
        JobError::Fail(failure)
    } else {
        JobError::Reject(failure)
    }
}

/// A player's session key that we can't open any more is as good as none: a sign-in brings it anew.
pub(crate) fn session_keys(error: SessionKeyError) -> JobError {
    if error.is_transient() {
        tracing::warn!(%error, "the job waits for the database");
        return retry(ProblemCode::StoreUnavailable);
    }
    tracing::error!(%error, "a session key can't be read");
    match error {
        SessionKeyError::Database(_) => {
            JobError::Fail(jobs::failure(&ProblemCode::Internal.into()))
        }
        SessionKeyError::Keyring(_) | SessionKeyError::NotText => reject(ProblemCode::SignInAgain),
    }
}

/// A call to WeChat's platform that changed nothing, or may be made again.
pub(crate) fn wechat(error: &WechatError) -> JobError {
    match error.class() {
        ErrorClass::Retry | ErrorClass::RefreshToken => {
            tracing::warn!(%error, "WeChat call failed, will retry");
            retry_after(ProblemCode::WechatBusy, error.retry_after())
        }
        ErrorClass::RateLimited => {
            tracing::warn!(%error, "WeChat limits our requests");
            retry(ProblemCode::WechatRateLimited)
        }
        ErrorClass::SignInAgain => reject(ProblemCode::SignInAgain),
        ErrorClass::Permanent | ErrorClass::Misconfigured => {
            tracing::error!(%error, "WeChat refuses us");
            JobError::Fail(jobs::failure(&ProblemCode::WechatMisconfigured.into()))
        }
    }
}

pub(crate) fn user(error: UserError) -> JobError {
    profile(error.into())
}

pub(crate) fn profile(error: ProfileError) -> JobError {
    if error.is_transient() {
        tracing::warn!(%error, "the job waits for the database");
        return retry(ProblemCode::StoreUnavailable);
    }
    tracing::error!(%error, "a profile could not be stored");
    JobError::Fail(jobs::failure(&ProblemCode::Internal.into()))
}

pub(crate) fn queue(error: StoreError) -> JobError {
    tracing::warn!(%error, "a job that follows could not be enqueued");
    retry(ProblemCode::QueueUnavailable)
}

/// A call whose outcome does not matter yet: it is made again, or an operator is called.
pub(crate) fn pay(error: &PayError) -> JobError {
    if error.alerts() {
        tracing::error!(%error, "WeChat Pay refuses us");
    } else {
        tracing::warn!(%error, "WeChat Pay did not do it");
    }
    match error.class() {
        PayErrorClass::Alert => retry(ProblemCode::PayMisconfigured),
        PayErrorClass::RateLimited => JobError::Retry {
            after: Some(Duration::from_secs(2 + fastrand::u64(0..4))),
            failure: jobs::failure(&ProblemCode::PayBusy.into()),
        },
        _ => retry_after(ProblemCode::PayBusy, error.retry_after()),
    }
}
