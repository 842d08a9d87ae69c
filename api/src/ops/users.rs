//! `/admin/users`, `/internal/users` and `/internal/introspect`: players and their sessions, for
//! operators and the game's other services.

use std::sync::Arc;

use avalon_core::accounts::sessions::{EndReason, Session, SessionError, Sessions};
use avalon_core::accounts::tokens::{TokenError, TokenVerifier};
use avalon_core::accounts::users::{self, Ban, UserInfo};
use avalon_core::audit::{self, AuditKind};
use avalon_core::base::iso_time::IsoTime;
use avalon_core::base::problem::ProblemCode;
use avalon_core::jobs::ResetSessionKey;
use avalon_core::storage::database::Database;
use avalon_queue::Queue;
use avalon_wechat::OpenId;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::OpsState;
use super::audit::by_operator;
use super::jobs::accept;
use crate::http::completion::run_to_completion;
use crate::http::extract::{JsonBody, Peer, invalid_field};
use crate::http::problem::ApiError;
use crate::state::sub_states;

pub(super) fn routes() -> Router<OpsState> {
    Router::new()
        .route("/admin/users/{openId}", get(show))
        .route("/admin/users/{openId}/ban", post(ban).delete(lift_ban))
        .route("/admin/users/{openId}/signOut", post(sign_out))
        .route(
            "/admin/users/{openId}/resetSessionKey",
            post(reset_session_key),
        )
        .route("/internal/users/{openId}", get(lookup))
        .route("/internal/introspect", post(introspect))
}

/// Maximum length of the reason of a ban, in characters.
const MAX_REASON: usize = 200;

/// Users with their sessions.
#[derive(Clone)]
struct Users {
    database: Database,
    sessions: Sessions,
}

sub_states! { OpsState as state =>
    Users: Self {
        database: state.database.clone(),
        sessions: state.sessions.clone(),
    };
}

pub(super) async fn player(database: &Database, open_id: String) -> Result<UserInfo, ApiError> {
    // No player's; Postgres cannot compare it.
    if open_id.contains('\0') {
        return Err(ProblemCode::UserNotFound.into());
    }
    let user = users::by_open_id(database, &OpenId::new(open_id)).await?;
    Ok(user.ok_or(ProblemCode::UserNotFound)?)
}

async fn show(
    State(state): State<Users>,
    Path(open_id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let user = player(&state.database, open_id).await?;
    Ok(Json(describe(&state, user).await?))
}

async fn describe(state: &Users, user: UserInfo) -> Result<Value, ApiError> {
    let ban = users::ban_of(&state.database, user.id).await?;
    let sessions = state.sessions.of(user.id).await?;
    let sessions: Vec<Value> = sessions.all().iter().map(session).collect();
    Ok(json!({"user": user, "ban": ban, "sessions": sessions}))
}

/// Describes a session without its secrets.
pub(super) fn session(session: &Session) -> Value {
    let time = IsoTime::from_millisecond;
    let mut described = json!({
        "sessionId": session.id,
        "createdAt": time(session.created_at),
        "refreshedAt": time(session.refreshed_at),
        "expiresAt": time(session.expires_at),
    });
    let device = &session.device;
    for (name, value) in [
        ("deviceId", json!(device.id)),
        ("deviceType", json!(device.kind)),
        ("scene", json!(device.scene)),
        (
            "endedAt",
            json!(session.ended.and_then(|ended| time(ended.at))),
        ),
        ("endReason", json!(session.ended.map(|ended| ended.reason))),
    ] {
        if !value.is_null() {
            described[name] = value;
        }
    }
    described
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BanBody {
    reason: Option<String>,
}

/// Bans a player: first the row, which every sign-in reads, then the sessions.
async fn ban(
    State(state): State<Users>,
    peer: Peer,
    Path(open_id): Path<String>,
    body: Option<JsonBody<BanBody>>,
) -> Result<Json<Value>, ApiError> {
    let reason = body.and_then(|JsonBody(body)| body.reason);
    if reason
        .as_ref()
        .is_some_and(|reason| reason.chars().count() > MAX_REASON)
    {
        return Err(invalid_field("reason", "must have at most 200 characters").into());
    }
    let user = player(&state.database, open_id).await?;
    run_to_completion(ban_and_sign_out(state, peer, user, reason)).await
}

async fn ban_and_sign_out(
    state: Users,
    peer: Peer,
    user: UserInfo,
    reason: Option<String>,
) -> Result<Json<Value>, ApiError> {
    let now = Timestamp::now();
    let event = by_operator(AuditKind::UserBanned, peer).user(user.id);
    let event = event.with("reason", reason.clone());
    let ban = Ban { at: now, reason };
    users::set_ban(&state.database, user.id, Some(&ban)).await?;
    audit::record(&state.database, event).await;
    // If this fails, the operator sees the error and repeats it; meanwhile sign-ins and refreshes read
    // the row.
    state.sessions.ban(user.id, now).await?;
    Ok(Json(describe(&state, user).await?))
}

async fn lift_ban(
    State(state): State<Users>,
    peer: Peer,
    Path(open_id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let user = player(&state.database, open_id).await?;
    users::set_ban(&state.database, user.id, None).await?;
    state.sessions.lift_ban(user.id, Timestamp::now()).await?;
    let event = by_operator(AuditKind::UserUnbanned, peer).user(user.id);
    audit::record(&state.database, event).await;
    Ok(Json(describe(&state, user).await?))
}

/// Ends all sessions of a player, who can sign in again.
async fn sign_out(
    State(state): State<Users>,
    peer: Peer,
    Path(open_id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let user = player(&state.database, open_id).await?;
    let reason = EndReason::ByOperator;
    let ended = state
        .sessions
        .end_all(user.id, reason, Timestamp::now())
        .await?;
    let event = by_operator(AuditKind::SessionEnded, peer).user(user.id);
    let event = event
        .with("sessions", ended.len())
        .with("reason", reason.as_ref());
    audit::record(&state.database, event).await;
    Ok(Json(describe(&state, user).await?))
}

/// Resets the player's session key at WeChat, through a job: for a key that may be compromised. Data
/// encrypted with the old key can no longer be decrypted.
async fn reset_session_key(
    State(database): State<Database>,
    State(queue): State<Queue>,
    peer: Peer,
    Path(open_id): Path<String>,
) -> Result<Response, ApiError> {
    let user = player(&database, open_id).await?;
    let event = by_operator(AuditKind::SessionKeyReset, peer).user(user.id);
    audit::record(&database, event).await;
    let open_id = OpenId::new(user.open_id);
    accept(&queue, &ResetSessionKey { open_id }, json!({})).await
}

async fn lookup(
    State(database): State<Database>,
    Path(open_id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let user = player(&database, open_id).await?;
    Ok(Json(json!({"user": user})))
}

#[derive(Deserialize)]
struct IntrospectBody {
    token: String,
}

/// Reports whether a player's token is valid and its session live (after RFC 7662).
async fn introspect(
    State(tokens): State<Arc<TokenVerifier>>,
    State(sessions): State<Sessions>,
    JsonBody(body): JsonBody<IntrospectBody>,
) -> Result<Json<Value>, ApiError> {
    let inactive = |code: ProblemCode| Ok(Json(json!({"active": false, "code": code})));
    let claims = match tokens.verify(&body.token) {
        Ok(claims) => claims,
        Err(TokenError::Expired) => return inactive(ProblemCode::TokenExpired),
        Err(_) => return inactive(ProblemCode::Unauthenticated),
    };
    let session = sessions.live(claims.sub, claims.sid, Timestamp::now());
    match session.await {
        Ok(_) => {}
        Err(SessionError::Refused(refusal)) => return inactive(refusal.code()),
        Err(error) => return Err(error.into()),
    }
    Ok(Json(json!({
        "active": true,
        "userId": claims.sub,
        "openId": claims.oid,
        "sessionId": claims.sid,
        "expires": claims.exp.saturating_mul(1000),
    })))
}
