//! `/admin/jobs`: looking at jobs, and replaying or purging dead letters.

use avalon_core::audit::{self, AuditKind};
use avalon_core::base::problem::{Problem, ProblemCode};
use avalon_queue::{JobFilter, JobState, JobView, NewJob, QueueName};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::OpsState;
use super::audit::by_operator;
use crate::http::answer::enqueue;
use crate::http::extract::{JobPath, Peer, QueryOf};
use crate::http::problem::ApiError;

pub(super) fn routes() -> Router<OpsState> {
    Router::new()
        .route("/admin/jobs", get(list))
        .route("/admin/jobs/{id}", get(show).delete(purge))
        .route("/admin/jobs/{id}/retry", post(retry))
}

/// Answers a request that becomes a job: 202, with where to look for it, and with what else is told.
pub(super) async fn accept(
    state: &OpsState,
    job: NewJob,
    mut told: Value,
) -> Result<Response, ApiError> {
    let enqueued = enqueue(&state.queue, job).await?;
    let id = enqueued.id().to_string();
    let location = [(header::LOCATION, format!("/admin/jobs/{id}"))];
    told["jobId"] = id.into();
    told["status"] = "queued".into();
    Ok((StatusCode::ACCEPTED, location, Json(told)).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    queue: Option<QueueName>,
    status: Option<String>,
    cursor: Option<String>,
    limit: Option<usize>,
}

/// Dead letters unless another status is asked for.
async fn list(
    State(state): State<OpsState>,
    QueryOf(query): QueryOf<ListQuery>,
) -> Result<Json<Value>, ApiError> {
    let status = query.status.as_deref().unwrap_or("dead");
    let filter = JobFilter {
        queue: query.queue,
        state: parse_state(status).ok_or_else(|| {
            Problem::new(ProblemCode::QueryInvalid)
                .with_detail("status: queued, running, retrying or dead")
        })?,
        cursor: query.cursor,
        limit: query.limit.unwrap_or(100),
    };
    let page = state.queue.store().list(&filter).await?;
    let jobs: Vec<Value> = page.jobs.iter().map(describe).collect();
    Ok(Json(json!({"jobs": jobs, "nextCursor": page.next})))
}

/// `failed` is what clients call a dead letter.
fn parse_state(word: &str) -> Option<JobState> {
    Some(match word {
        "queued" => JobState::Queued,
        "running" => JobState::Running,
        "retrying" => JobState::Retrying,
        "dead" | "failed" => JobState::Dead,
        _ => return None,
    })
}

/// A job for operators. The payload is left out: it may hold what only its player should know.
fn describe(view: &JobView) -> Value {
    json!({
        "jobId": view.id.to_string(),
        "queue": view.queue.as_str(),
        "kind": view.kind,
        "status": view.state,
        "attempts": view.attempts,
        "maxAttempts": view.max_attempts,
        "enqueuedAt": time(view.enqueued_at),
        "dueAt": view.due_at.map(time),
        "finishedAt": view.finished_at.map(time),
        "error": view.error,
        "traceparent": view.traceparent,
    })
}

/// ISO 8601, UTC.
fn time(ms: u64) -> Option<Timestamp> {
    Timestamp::from_millisecond(i64::try_from(ms).ok()?).ok()
}

async fn show(
    State(state): State<OpsState>,
    JobPath(id): JobPath,
) -> Result<Json<Value>, ApiError> {
    let view = state
        .queue
        .store()
        .get(id)
        .await?
        .ok_or(ProblemCode::JobNotFound)?;
    Ok(Json(describe(&view)))
}

/// Makes a dead letter ready again.
pub(super) async fn retry(
    State(state): State<OpsState>,
    peer: Peer,
    JobPath(id): JobPath,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    if !state.queue.store().replay(id).await? {
        return Err(ProblemCode::JobNotFound.into());
    }
    let event = by_operator(AuditKind::JobReplayed, peer).with("jobId", id.to_string());
    audit::record(&state.database, event).await;
    Ok((
        StatusCode::ACCEPTED,
        Json(json!({"jobId": id.to_string(), "status": "queued"})),
    ))
}

/// Deletes a dead letter.
pub(super) async fn purge(
    State(state): State<OpsState>,
    peer: Peer,
    JobPath(id): JobPath,
) -> Result<StatusCode, ApiError> {
    if !state.queue.store().purge(id).await? {
        return Err(ProblemCode::JobNotFound.into());
    }
    let event = by_operator(AuditKind::JobDeleted, peer).with("jobId", id.to_string());
    audit::record(&state.database, event).await;
    Ok(StatusCode::NO_CONTENT)
}
