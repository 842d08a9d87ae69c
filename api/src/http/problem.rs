//! Problems as axum responses. `pipeline` renders the body again with the request id.

use avalon_core::accounts::sessions::SessionError;
use avalon_core::accounts::users::UserError;
use avalon_core::base::problem::{Problem, ProblemCode};
use avalon_core::payments::PaymentError;
use avalon_core::social::boards::BoardError;
use avalon_core::social::messages::MessageError;
use avalon_core::social::shares::ShareError;
use avalon_core::storage::database::DatabaseError;
use avalon_queue::StoreError;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// The error type of all routes.
#[derive(Clone, Debug)]
pub(crate) struct ApiError(pub(crate) Problem);

impl From<Problem> for ApiError {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl From<ProblemCode> for ApiError {
    fn from(code: ProblemCode) -> Self {
        Self(code.into())
    }
}

impl From<SessionError> for ApiError {
    fn from(error: SessionError) -> Self {
        match error.code() {
            code @ ProblemCode::Internal => {
                tracing::error!(%error, "session store failed");
                code.into()
            }
            code => code.into(),
        }
    }
}

impl From<UserError> for ApiError {
    fn from(error: UserError) -> Self {
        let UserError::Database(error) = error;
        PaymentError::Database(error).into()
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) => {
                tracing::warn!(%error, "queue unavailable");
                ProblemCode::QueueUnavailable.into()
            }
            StoreError::Unexpected(_) => {
                tracing::error!(%error, "unexpected response of the queue");
                ProblemCode::Internal.into()
            }
        }
    }
}

impl From<PaymentError> for ApiError {
    fn from(error: PaymentError) -> Self {
        if error.is_transient() {
            tracing::warn!(%error, "database unavailable");
        } else if matches!(error, PaymentError::Database(_)) {
            tracing::error!(%error, "unexpected response of the database");
        }
        error.problem().into()
    }
}

impl From<BoardError> for ApiError {
    fn from(error: BoardError) -> Self {
        if error.is_transient() {
            tracing::warn!(%error, "leaderboards unavailable");
        } else if matches!(error, BoardError::Database(_)) {
            tracing::error!(%error, "unexpected response of the database");
        }
        error.problem().into()
    }
}

impl From<ShareError> for ApiError {
    fn from(error: ShareError) -> Self {
        match error {
            ShareError::Database(error) => error.into(),
            error => error.problem().into(),
        }
    }
}

impl From<DatabaseError> for ApiError {
    fn from(error: DatabaseError) -> Self {
        PaymentError::from(error).into()
    }
}

impl From<MessageError> for ApiError {
    fn from(error: MessageError) -> Self {
        match error {
            MessageError::Database(error) => error.into(),
            error => error.problem().into(),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = render(&self.0);
        response.extensions_mut().insert(self);
        response
    }
}

/// Renders the problem as `application/problem+json`.
pub(crate) fn render(problem: &Problem) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = serde_json::to_vec(problem).unwrap_or_default();
    let content_type = HeaderValue::from_static("application/problem+json");
    let mut response = (status, [(header::CONTENT_TYPE, content_type)], body).into_response();
    if let Some(seconds) = problem.retry_after_seconds() {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, seconds.into());
    }
    if status == StatusCode::UNAUTHORIZED {
        // RFC 9110 requires a challenge in every 401.
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}
