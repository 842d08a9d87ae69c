//! `/admin/users`, `/internal/users` and `/internal/introspect`: players and their sessions, for
//! operators and for the game's own services.

use avalon_core::accounts::sessions::{EndReason, Session, SessionError};
use avalon_core::accounts::users::{self, Ban, UserInfo};
use avalon_core::audit::{self, AuditKind};
use avalon_core::base::problem::{Problem, ProblemCode};
use avalon_core::jobs::ResetSessionKey;
use avalon_queue::NewJob;
use avalon_wechat::OpenId;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::OpsState;
use super::audit::by_operator;
use super::jobs::accept;
use crate::http::extract::{JsonBody, Peer, invalid_field};
use crate::http::problem::ApiError;
use crate::http::run_to_end::to_the_end;

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

/// Longest reason of a ban, in characters.
const LONGEST_REASON: usize = 200;

async fn player(state: &OpsState, open_id: String) -> Result<UserInfo, ApiError> {
    let user = users::by_open_id(&state.database, &OpenId::new(open_id)).await?;
    Ok(user.ok_or(ProblemCode::UserNotFound)?)
}

async fn show(
    State(state): State<OpsState>,
    Path(open_id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let user = player(&state, open_id).await?;
    Ok(Json(describe(&state, user).await?))
}

async fn describe(state: &OpsState, user: UserInfo) -> Result<Value, ApiError> {
    let ban = users::ban_of(&state.database, user.id).await?;
    let sessions = state.sessions.of(user.id).await?;
    let sessions: Vec<Value> = sessions.all().iter().map(session).collect();
    Ok(json!({"user": user, "ban": ban, "sessions": sessions}))
}

/// A session without its secrets.
fn session(session: &Session) -> Value {
    let time = |ms| Timestamp::from_millisecond(ms).ok();
    let mut told = json!({
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
            told[name] = value;
        }
    }
    told
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BanBody {
    reason: Option<String>,
}

/// Bans a player: the row first, so that no sign-in misses it, then the sessions.
async fn ban(
    State(state): State<OpsState>,
    peer: Peer,
    Path(open_id): Path<String>,
    body: Option<JsonBody<BanBody>>,
) -> Result<Json<Value>, ApiError> {
    let reason = body.and_then(|JsonBody(body)| body.reason);
    if reason
        .as_ref()
        .is_some_and(|reason| reason.chars().count() > LONGEST_REASON)
    {
        return Err(invalid_field("reason", "may have at most 200 characters").into());
    }
    let user = player(&state, open_id).await?;
    to_the_end(ban_and_sign_out(state, peer, user, reason)).await
}

async fn ban_and_sign_out(
    state: OpsState,
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
    // Should this fail, the operator is told and does it again; meanwhile no sign-in and no refresh
    // passes by the row.
    state.sessions.ban(user.id, now).await?;
    Ok(Json(describe(&state, user).await?))
}

async fn lift_ban(
    State(state): State<OpsState>,
    peer: Peer,
    Path(open_id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let user = player(&state, open_id).await?;
    users::set_ban(&state.database, user.id, None).await?;
    state.sessions.lift_ban(user.id, Timestamp::now()).await?;
    let event = by_operator(AuditKind::UserUnbanned, peer).user(user.id);
    audit::record(&state.database, event).await;
    Ok(Json(describe(&state, user).await?))
}

/// Ends all sessions of a player, who may sign in again.
async fn sign_out(
    State(state): State<OpsState>,
    peer: Peer,
    Path(open_id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let user = player(&state, open_id).await?;
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

/// Has WeChat give the player a new session key, by a job. The old one is dead then, and data under it
/// no longer open: for a key that may be in wrong hands.
async fn reset_session_key(
    State(state): State<OpsState>,
    peer: Peer,
    Path(open_id): Path<String>,
) -> Result<Response, ApiError> {
    let user = player(&state, open_id).await?;
    let event = by_operator(AuditKind::SessionKeyReset, peer).user(user.id);
    audit::record(&state.database, event).await;
    let open_id = user.open_id;
    let open_id = OpenId::new(open_id);
    let job = NewJob::from_job(&ResetSessionKey { open_id });
    accept(&state, job, json!({})).await
}

async fn lookup(
    State(state): State<OpsState>,
    Path(open_id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let user = player(&state, open_id).await?;
    Ok(Json(json!({"user": user})))
}

#[derive(Deserialize)]
struct IntrospectBody {
    token: String,
}

/// Whether a player's token is good and its session lives (after RFC 7662).
async fn introspect(
    State(state): State<OpsState>,
    JsonBody(body): JsonBody<IntrospectBody>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let inactive = |code: ProblemCode| {
        let told = json!({"active": false, "code": Problem::new(code).code});
        Ok((StatusCode::OK, Json(told)))
    };
    let claims = match state.tokens.verify(&body.token) {
        Ok(claims) => claims,
        Err(avalon_core::accounts::tokens::TokenError::Expired) => {
            return inactive(ProblemCode::TokenExpired);
        }
        Err(_) => return inactive(ProblemCode::Unauthenticated),
    };
    match state
        .sessions
        .live(claims.sub, claims.sid, Timestamp::now())
        .await
    {
        Ok(_) => {}
        Err(SessionError::Refused(refusal)) => return inactive(refusal.code()),
        Err(error) => return Err(error.into()),
    }
    let told = json!({
        "active": true,
        "userId": claims.sub,
        "openId": claims.oid,
        "sessionId": claims.sid,
        "expires": claims.exp.saturating_mul(1000),
    });
    Ok((StatusCode::OK, Json(told)))
}
