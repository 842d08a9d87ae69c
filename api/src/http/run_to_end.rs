//! Work that a client must not be able to break off in the middle by going away: what ends a session
//! and what records it belong together.

use avalon_core::base::problem::ProblemCode;

use crate::http::problem::ApiError;

/// Does the work in a task of its own, which goes on when nobody waits for it any more.
pub(crate) async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, ApiError>> + Send + 'static,
) -> Result<T, ApiError> {
    tokio::spawn(work)
        .await
        .unwrap_or_else(|_| Err(ProblemCode::Internal.into()))
}
