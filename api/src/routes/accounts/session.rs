//! Renewing and ending a session. No jobs: WeChat has nothing to say to it.

use std::net::IpAddr;
use std::sync::Arc;

use avalon_core::accounts::sessions::{EndReason, SessionError, Sessions};
use avalon_core::accounts::tokens::Claims;
use avalon_core::accounts::users;
use avalon_core::audit::{self, Actor, AuditEvent, AuditKind};
use avalon_core::base::problem::{Problem, ProblemCode};
use avalon_core::jobs::login::SignedIn;
use avalon_wechat::OpenId;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::answer::uncached;
use crate::http::extract::{JsonBody, Player, QueryOf};
use crate::http::problem::ApiError;
use crate::http::run_to_end::to_the_end;
use crate::middleware::client_address::ClientAddress;
use crate::state::ApiState;

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(refresh_token))
        .routes(routes!(logout))
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct RefreshRequest {
    /// From the latest sign-in or refresh.
    #[schema(max_length = 256)]
    refresh_token: String,
}

/// Renews a session.
///
/// The refresh token is spent by it: the answer has the next one. A spent one that comes again ends
/// the session, since two hold it and one of them is a thief.
#[utoipa::path(
    post,
    path = "/api/wx/refreshToken",
    tag = "players",
    request_body = RefreshRequest,
    responses(
        (status = 200, description = "Renewed", body = SignedIn),
        (status = 400, description = "No body, or not JSON", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "The refresh token is unknown or spent, or its session is over", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The player is banned", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is not sent as application/json", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A field is missing or wrong", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many requests", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The sessions or the database are unavailable", body = Problem, content_type = "application/problem+json"),
    ),
)]
async fn refresh_token(
    State(state): State<ApiState>,
    address: ClientAddress,
    JsonBody(request): JsonBody<RefreshRequest>,
) -> Result<Response, ApiError> {
    let answer = to_the_end(refresh(state, request.refresh_token, address)).await?;
    Ok(uncached(Json(answer)))
}

async fn refresh(
    state: ApiState,
    given: String,
    address: ClientAddress,
) -> Result<SignedIn, ApiError> {
    let now = Timestamp::now();
    // The player first: a database that is away must not cost the token.
    let owner = Sessions::owner_of(&given).ok_or(ProblemCode::Unauthenticated)?;
    let user = users::by_id(&state.database, owner).await?;
    let user = user.ok_or(ProblemCode::Unauthenticated)?;
    if users::ban_of(&state.database, owner).await?.is_some() {
        // Should the ban not have reached the sessions, it does now.
        state.sessions.ban(owner, now).await?;
    }
    let session = match state.sessions.refresh(&given, now).await {
        Ok(session) => session,
        Err(error) => return Err(refused(&state, error, address)),
    };
    let open_id = OpenId::new(&*session.open_id);
    let token = state.issuer.issue(session.user, session.id, &open_id, now);
    let token = token.map_err(|error| {
        tracing::error!(%error, "a token could not be signed");
        ApiError::from(ProblemCode::Internal)
    })?;
    Ok(SignedIn::new(token, session.secrets, user))
}

fn refused(
    state: &ApiState,
    error: SessionError,
    ClientAddress(address): ClientAddress,
) -> ApiError {
    if let SessionError::RefreshReused(user, session) = error {
        let event = AuditEvent::new(AuditKind::RefreshTokenReused, Actor::Player);
        let event = event.user(user).session(session).address(address);
        audit::record_beside(&state.database, event);
    }
    error.into()
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct LogoutQuery {
    /// Ends the player's sessions on all devices.
    #[serde(default)]
    everywhere: bool,
}

/// Signs out: ends the session, on every process at once.
#[utoipa::path(
    post,
    path = "/api/wx/logout",
    tag = "players",
    params(LogoutQuery),
    responses(
        (status = 204, description = "The session is over"),
        (status = 400, description = "The query is malformed", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No good token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The player is banned", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many requests", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The sessions are unavailable", body = Problem, content_type = "application/problem+json"),
    ),
    security(("token" = [])),
)]
async fn logout(
    State(state): State<ApiState>,
    Player(player): Player,
    ClientAddress(address): ClientAddress,
    QueryOf(query): QueryOf<LogoutQuery>,
) -> Result<StatusCode, ApiError> {
    to_the_end(sign_out(state, player, address, query.everywhere)).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn sign_out(
    state: ApiState,
    player: Arc<Claims>,
    address: IpAddr,
    everywhere: bool,
) -> Result<(), ApiError> {
    let (now, reason) = (Timestamp::now(), EndReason::SignedOut);
    let (user, session) = (player.sub, player.sid);
    if everywhere {
        state.sessions.end_all(user, reason, now).await?;
    } else {
        state.sessions.end(user, session, reason, now).await?;
    }
    let event = AuditEvent::new(AuditKind::SessionEnded, Actor::Player)
        .user(user)
        .session(session)
        .address(address)
        .with("reason", reason.as_ref())
        .with("everywhere", everywhere);
    audit::record_beside(&state.database, event);
    Ok(())
}
