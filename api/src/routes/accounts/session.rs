//! Refreshing and ending a session. No jobs, since WeChat is not involved.

use std::net::IpAddr;
use std::sync::Arc;

use avalon_core::accounts::sessions::{EndReason, SessionError, Sessions};
use avalon_core::accounts::tokens::{Claims, TokenIssuer};
use avalon_core::accounts::users;
use avalon_core::audit::{self, Actor, AuditEvent, AuditKind};
use avalon_core::base::problem::ProblemCode;
use avalon_core::jobs::login::SignedIn;
use avalon_core::storage::database::Database;
use avalon_wechat::OpenId;
use axum::Json;
use axum::extract::{FromRef, State};
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::completion::run_to_completion;
use crate::http::extract::{JsonBody, QueryOf};
use crate::http::job_response::uncached;
use crate::http::problem::ApiError;
use crate::http::problem_sets::problems;
use crate::middleware::caller::Player;
use crate::middleware::client_address::ClientAddress;
use crate::state::{App, sub_states};

pub(crate) fn refresh_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(refresh_token))
}

pub(crate) fn logout_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(logout))
}

/// What sessions are refreshed with.
#[derive(Clone)]
struct Refresh {
    sessions: Sessions,
    issuer: Arc<TokenIssuer>,
    database: Database,
}

sub_states! { App as state =>
    Refresh: Self {
        sessions: FromRef::from_ref(state),
        issuer: FromRef::from_ref(state),
        database: FromRef::from_ref(state),
    };
}

problems! {
    RefreshProblems: LIMITED BODY DATABASE; Unauthenticated RefreshTokenReused SessionExpired
        SessionReplaced SessionEnded UserBanned SessionsUnavailable
}
problems! { LogoutProblems: PLAYER; QueryInvalid }

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct RefreshRequest {
    /// From the last sign-in or refresh.
    #[schema(max_length = 256)]
    refresh_token: String,
}

/// Refreshes a session.
///
/// The refresh token is used up; the response contains the next one. Reuse ends the session, since the
/// token may be stolen.
#[utoipa::path(
    post,
    path = "/api/wx/refreshToken",
    operation_id = "refreshToken",
    tag = "players",
    request_body = RefreshRequest,
    responses(
        (status = 200, description = "Refreshed", body = SignedIn),
        RefreshProblems,
    ),
)]
async fn refresh_token(
    State(state): State<Refresh>,
    address: ClientAddress,
    JsonBody(request): JsonBody<RefreshRequest>,
) -> Result<Response, ApiError> {
    let signed_in = run_to_completion(refresh(state, request.refresh_token, address)).await?;
    Ok(uncached(Json(signed_in)))
}

async fn refresh(
    state: Refresh,
    refresh_token: String,
    address: ClientAddress,
) -> Result<SignedIn, ApiError> {
    let now = Timestamp::now();
    // The user is read first: a database outage must not use up the token.
    let owner = Sessions::owner_of(&refresh_token).ok_or(ProblemCode::Unauthenticated)?;
    let user = users::by_id(&state.database, owner).await?;
    let user = user.ok_or(ProblemCode::Unauthenticated)?;
    if users::ban_of(&state.database, owner).await?.is_some() {
        // Repeated here in case the ban has not reached the sessions.
        state.sessions.ban(owner, now).await?;
    }
    let session = match state.sessions.refresh(&refresh_token, now).await {
        Ok(session) => session,
        Err(error) => return Err(rejected(&state.database, error, address)),
    };
    let open_id = OpenId::new(&*session.open_id);
    let token = state.issuer.issue(session.user, session.id, &open_id, now);
    let token = token.map_err(|error| {
        tracing::error!(%error, "token could not be signed");
        ApiError::from(ProblemCode::Internal)
    })?;
    Ok(SignedIn::new(token, session.secrets, user))
}

fn rejected(
    database: &Database,
    error: SessionError,
    ClientAddress(address): ClientAddress,
) -> ApiError {
    if let SessionError::RefreshReused(user, session) = error {
        let event = AuditEvent::new(AuditKind::RefreshTokenReused, Actor::Player);
        let event = event.user(user).session(session).address(address);
        audit::record_in_background(database, event);
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

/// Signs out: ends the session, on all processes immediately.
#[utoipa::path(
    post,
    path = "/api/wx/logout",
    operation_id = "logout",
    tag = "players",
    params(LogoutQuery),
    responses(
        (status = 204, description = "The session has ended"),
        LogoutProblems,
    ),
    security(("token" = [])),
)]
async fn logout(
    State(sessions): State<Sessions>,
    State(database): State<Database>,
    Player(player): Player,
    ClientAddress(address): ClientAddress,
    QueryOf(query): QueryOf<LogoutQuery>,
) -> Result<StatusCode, ApiError> {
    let everywhere = query.everywhere;
    run_to_completion(sign_out(sessions, database, player, address, everywhere)).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn sign_out(
    sessions: Sessions,
    database: Database,
    player: Arc<Claims>,
    address: IpAddr,
    everywhere: bool,
) -> Result<(), ApiError> {
    let (now, reason) = (Timestamp::now(), EndReason::SignedOut);
    let (user, session) = (player.sub, player.sid);
    if everywhere {
        sessions.end_all(user, reason, now).await?;
    } else {
        sessions.end(user, session, reason, now).await?;
    }
    let event = AuditEvent::new(AuditKind::SessionEnded, Actor::Player)
        .user(user)
        .session(session)
        .address(address)
        .with("reason", reason.as_ref())
        .with("everywhere", everywhere);
    audit::record_in_background(&database, event);
    Ok(())
}
