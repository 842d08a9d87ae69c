//! What a failure of a store or of WeChat Pay means for a job: tried again, refused, or given up.
//! One mapping for all job kinds.

use std::time::Duration;

use avalon_core::jobs;
use avalon_core::payments::PaymentError;
use avalon_core::problem::{Problem, ProblemCode};
use avalon_queue::{JobError, StoreError};
use avalon_wechat::pay::{PayError, PayErrorClass};

/// Refuses: the request was wrong, and the caller is told so.
pub(crate) fn reject(code: ProblemCode) -> JobError {
    JobError::Reject(jobs::failure(&code.into()))
}

/// Tries again when the kind's policy says so.
pub(crate) fn retry(code: ProblemCode) -> JobError {
    JobError::retry(jobs::failure(&code.into()))
}

pub(crate) fn payment(error: PaymentError) -> JobError {
    let code = match &error {
        PaymentError::Database(database) if database.is_transient() => {
            tracing::warn!(%error, "the job waits for the database");
            return retry(ProblemCode::StoreUnavailable);
        }
        PaymentError::Database(_) => {
            tracing::error!(%error, "a statement failed");
            return JobError::Fail(jobs::failure(&ProblemCode::Internal.into()));
        }
        PaymentError::UnknownProduct => ProblemCode::ProductNotFound,
        PaymentError::OutOfStock => ProblemCode::OutOfStock,
        PaymentError::LimitReached => ProblemCode::LimitReached,
        PaymentError::KeyReused => ProblemCode::IdempotencyKeyReused,
        PaymentError::UnknownOrder => ProblemCode::OrderNotFound,
        PaymentError::StateForbids(_) => ProblemCode::OrderState,
        PaymentError::TooMuch => ProblemCode::RefundTooLarge,
        PaymentError::NotEnough => ProblemCode::NotEnoughItems,
        PaymentError::Amount => ProblemCode::FieldInvalid,
    };
    JobError::Reject(jobs::failure(
        &Problem::new(code).with_detail(error.to_string()),
    ))
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
        _ => retry(ProblemCode::PayBusy),
    }
}
