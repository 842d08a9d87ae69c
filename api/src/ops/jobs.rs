//! `/admin/jobs`: lists and shows jobs, replays and purges dead letters.

use avalon_core::audit::{self, AuditKind};
use avalon_core::base::iso_time::IsoTime;
use avalon_core::base::problem::{Problem, ProblemCode};
use avalon_core::storage::database::Database;
use avalon_queue::{JobFilter, JobState, JobView, NewJob, Queue, QueueName};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::OpsState;
use super::audit::by_operator;
use crate::http::extract::{JobPath, Peer, QueryOf};
use crate::http::job_response::enqueue;
use crate::http::problem::ApiError;

pub(super) fn routes() -> Router<OpsState> {
    Router::new()
        .route("/admin/jobs", get(list))
        .route("/admin/jobs/{id}", get(show).delete(purge))
        .route("/admin/jobs/{id}/retry", post(retry))
}

/// Enqueues the job and responds with 202, its address, and `body` with the job's fields added.
pub(super) async fn accept(
    queue: &Queue,
    job: impl Into<NewJob>,
    mut body: Value,
) -> Result<Response, ApiError> {
    let enqueued = enqueue(queue, job.into()).await?;
    let id = enqueued.id().to_string();
    let location = [(header::LOCATION, format!("/admin/jobs/{id}"))];
    body["jobId"] = id.into();
    body["status"] = "queued".into();
    Ok((StatusCode::ACCEPTED, location, Json(body)).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    queue: Option<QueueName>,
    status: Option<String>,
    cursor: Option<String>,
    limit: Option<usize>,
}

/// Lists jobs of one status, by default dead letters.
async fn list(
    State(queue): State<Queue>,
    QueryOf(query): QueryOf<ListQuery>,
) -> Result<Json<Value>, ApiError> {
    let status = query.status.as_deref().unwrap_or("dead");
    let filter = JobFilter {
        queue: query.queue,
        state: parse_state(status).ok_or_else(|| {
            Problem::new(ProblemCode::QueryInvalid)
                .with_detail("status: must be queued, running, retrying or dead")
        })?,
        cursor: query.cursor,
        limit: query.limit.unwrap_or(100),
    };
    let page = queue.store().list(&filter).await?;
    let jobs: Vec<Value> = page.jobs.iter().map(describe).collect();
    Ok(Json(json!({"jobs": jobs, "nextCursor": page.next})))
}

/// `failed` is the public name of `dead`.
fn parse_state(word: &str) -> Option<JobState> {
    Some(match word {
        "queued" => JobState::Queued,
        "running" => JobState::Running,
        "retrying" => JobState::Retrying,
        "dead" | "failed" => JobState::Dead,
        _ => return None,
    })
}

/// Describes a job without its payload, which may contain personal data.
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
fn time(ms: u64) -> Option<IsoTime> {
    IsoTime::from_millisecond(i64::try_from(ms).ok()?)
}

async fn show(State(queue): State<Queue>, JobPath(id): JobPath) -> Result<Json<Value>, ApiError> {
    let view = queue.store().get(id).await?;
    let view = view.ok_or(ProblemCode::JobNotFound)?;
    Ok(Json(describe(&view)))
}

/// Replays a dead letter.
pub(super) async fn retry(
    State(queue): State<Queue>,
    State(database): State<Database>,
    peer: Peer,
    JobPath(id): JobPath,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    if !queue.store().replay(id).await? {
        return Err(ProblemCode::JobNotFound.into());
    }
    let event = by_operator(AuditKind::JobReplayed, peer).with("jobId", id.to_string());
    audit::record(&database, event).await;
    Ok((
        StatusCode::ACCEPTED,
        Json(json!({"jobId": id.to_string(), "status": "queued"})),
    ))
}

/// Purges a dead letter.
pub(super) async fn purge(
    State(queue): State<Queue>,
    State(database): State<Database>,
    peer: Peer,
    JobPath(id): JobPath,
) -> Result<StatusCode, ApiError> {
    if !queue.store().purge(id).await? {
        return Err(ProblemCode::JobNotFound.into());
    }
    let event = by_operator(AuditKind::JobDeleted, peer).with("jobId", id.to_string());
    audit::record(&database, event).await;
    Ok(StatusCode::NO_CONTENT)
}
