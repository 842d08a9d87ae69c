//! `/admin/pushes`: the messages that WeChat pushed. They contain personal data.

use avalon_core::audit::{self, AuditKind};
use avalon_core::base::ids::PushId;
use avalon_core::base::problem::ProblemCode;
use avalon_core::jobs::ProcessPush;
use avalon_core::platform::pushes::{self, PushFilter, StoredPush};
use avalon_core::storage::database::Database;
use avalon_queue::{NewJob, Queue};
use axum::extract::{FromRequestParts, Path, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::OpsState;
use super::audit::by_operator;
use crate::http::extract::{Peer, QueryOf, invalid_query};
use crate::http::problem::ApiError;

pub(super) fn routes() -> Router<OpsState> {
    Router::new()
        .route("/admin/pushes", get(list))
        .route("/admin/pushes/{id}", get(show))
        .route("/admin/pushes/{id}/replay", post(replay))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    event: Option<String>,
    status: Option<String>,
    cursor: Option<PushId>,
    limit: Option<i64>,
}

/// Lists pushes without their messages, newest first.
async fn list(
    State(database): State<Database>,
    QueryOf(query): QueryOf<ListQuery>,
) -> Result<Json<Value>, ApiError> {
    let limit = query.limit.unwrap_or(100).clamp(1, 1000);
    let status = query.status.map(|status| status.parse()).transpose();
    let filter = PushFilter {
        event: query.event,
        status: status.map_err(|_| invalid_query("status", "must be pending or an outcome"))?,
        cursor: query.cursor,
        limit,
    };
    let pushes = pushes::list(&database, &filter).await?;
    let full = i64::try_from(pushes.len()).is_ok_and(|count| count == limit);
    let next = pushes.last().filter(|_| full).map(|push| push.id);
    let pushes: Vec<Value> = pushes.iter().map(StoredPush::to_json).collect();
    Ok(Json(json!({"pushes": pushes, "nextCursor": next})))
}

/// Shows a push with its message.
async fn show(
    State(database): State<Database>,
    PushPath(id): PushPath,
) -> Result<Json<Value>, ApiError> {
    let found = pushes::by_id(&database, id).await?;
    let (push, message) = found.ok_or(ProblemCode::NotFound)?;
    let mut push = push.to_json();
    push["message"] = message.into();
    Ok(Json(json!({"push": push})))
}

/// Has a push processed again. While the queue is unavailable, the sweeper enqueues it later.
async fn replay(
    State(database): State<Database>,
    State(queue): State<Queue>,
    peer: Peer,
    PushPath(push_id): PushPath,
) -> Result<Response, ApiError> {
    let now = Timestamp::now();
    if !pushes::replay(&database, push_id, now).await? {
        return Err(ProblemCode::NotFound.into());
    }
    let event = by_operator(AuditKind::PushReplayed, peer).with("pushId", push_id.to_string());
    audit::record(&database, event).await;
    let job = ProcessPush {
        push_id,
        replayed_at: Some(now.as_millisecond()),
    };
    if let Err(error) = queue.enqueue(NewJob::from_job(&job)).await {
        tracing::warn!(%error, "push left to the sweeper");
    }
    let body = json!({"id": push_id, "status": pushes::PushStatus::PENDING});
    Ok((StatusCode::ACCEPTED, Json(body)).into_response())
}

/// The id of the path. A malformed one is that of no push.
struct PushPath(PushId);

impl<S: Send + Sync> FromRequestParts<S> for PushPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let id = Path::<String>::from_request_parts(parts, state).await.ok();
        let id = id.and_then(|Path(id)| id.parse().ok());
        Ok(Self(id.ok_or(ProblemCode::NotFound)?))
    }
}
