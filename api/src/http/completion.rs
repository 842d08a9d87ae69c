//! Work that a client must not interrupt by disconnecting: ending a session and recording why belong
//! together.

use avalon_core::base::problem::ProblemCode;

use crate::http::problem::ApiError;

/// Runs the work in its own task, which continues when the request is dropped.
pub(crate) async fn run_to_completion<T: Send + 'static>(
    work: impl Future<Output = Result<T, ApiError>> + Send + 'static,
) -> Result<T, ApiError> {
    tokio::spawn(work)
        .await
        .unwrap_or_else(|_| Err(ProblemCode::Internal.into()))
}
