//! What a failure of a store or of WeChat Pay means for a job: tried again, refused, or given up.
//! One mapping for all job kinds.

use std::time::Duration;

use avalon_core::jobs;
use avalon_core::payments::PaymentError;
use avalon_core::problem::ProblemCode;
use avalon_queue::{JobError, StoreError};
use avalon_wechat::pay::{PayError, PayErrorClass};
use avalon_wechat::{ErrorClass, WechatError};

/// Refuses: the request was wrong, and the caller is told so.
pub(crate) fn reject(code: ProblemCode) -> JobError {
    JobError::Reject(jobs::failure(&code.into()))
}

/// Tries again when the kind's policy says so.
pub(crate) fn retry(code: ProblemCode) -> JobError {
    JobError::retry(jobs::failure(&code.into()))
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

pub(crate) fn queue(error: StoreError) -> JobError {
    tracing::warn!(%error, "a job that follows could not be enqueued");
    retry(ProblemCode::QueueUnavailable)
}

/// A call of the platform that can be made again by this or another job.
pub(crate) fn wechat(error: &WechatError) -> JobError {
    match error.class() {
        ErrorClass::Retry | ErrorClass::RefreshToken => {
            tracing::warn!(%error, "WeChat did not do it");
            retry(ProblemCode::WechatBusy)
        }
        ErrorClass::RateLimited => {
            tracing::warn!(%error, "WeChat limits us");
            retry(ProblemCode::WechatRateLimited)
        }
        ErrorClass::Misconfigured | ErrorClass::Permanent | ErrorClass::SignInAgain => {
            tracing::error!(%error, "WeChat refuses us");
            JobError::Fail(jobs::failure(&ProblemCode::WechatMisconfigured.into()))
        }
    }
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
        _ => retry(ProblemCode::PayBusy),
    }
}
