//! The caller of a request: what the guard found out about its token, and the extractors with which
//! routes ask for a player.

use std::sync::Arc;

use avalon_core::accounts::tokens::Claims;
use avalon_core::base::problem::ProblemCode;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use crate::http::problem::ApiError;

/// Request extension, set by the guard.
#[derive(Clone)]
pub(crate) enum Caller {
    /// The request has no token.
    Anonymous,
    /// The token, session or signature was rejected, or could not be checked.
    Rejected(ApiError),
    /// A player with a live session.
    Player(Arc<Claims>),
}

/// The player whose token the request carries, if it carries one. A rejected token is an error even
/// on routes that require none.
pub(crate) struct MaybePlayer(pub(crate) Option<Arc<Claims>>);

impl<S: Sync> FromRequestParts<S> for MaybePlayer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        match parts.extensions.get::<Caller>() {
            Some(Caller::Anonymous) => Ok(Self(None)),
            Some(Caller::Player(claims)) => Ok(Self(Some(Arc::clone(claims)))),
            Some(Caller::Rejected(error)) => Err(error.clone()),
            // The route is in a router whose guard does not authenticate.
            None => Err(ProblemCode::Internal.into()),
        }
    }
}

/// The player whose token the request carries; required.
pub(crate) struct Player(pub(crate) Arc<Claims>);

impl<S: Sync> FromRequestParts<S> for Player {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let MaybePlayer(claims) = MaybePlayer::from_request_parts(parts, state).await?;
        Ok(Self(claims.ok_or(ProblemCode::Unauthenticated)?))
    }
}
