//! From a job to an answer: enqueue it, hold the request for it, and answer with its result, its
//! problem, or where to ask for it later.

use std::time::Duration;

use avalon_core::base::problem::{Problem, ProblemCode};
use avalon_core::jobs;
use avalon_queue::{Enqueued, Failure, JobId, JobState, JobView, NewJob, Queue, StoreError};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::time::Instant;
use utoipa::ToSchema;

use crate::http::preference::Preference;
use crate::http::problem::ApiError;
use crate::middleware::pipeline::Trace;
use crate::state::ApiState;

/// How long a request waits for a queue that does not take its job.
const ENQUEUE_TIMEOUT: Duration = Duration::from_secs(3);

/// Where a job stands, as clients know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum JobStatus {
    /// Waits for a worker.
    Queued,
    /// A worker is at it.
    Running,
    /// Waits for another attempt.
    Retrying,
    /// Ended with a result.
    Succeeded,
    /// Ended with an error.
    Failed,
}

impl From<JobState> for JobStatus {
    fn from(state: JobState) -> Self {
        match state {
            JobState::Queued => Self::Queued,
            JobState::Running => Self::Running,
            JobState::Retrying => Self::Retrying,
            JobState::Succeeded => Self::Succeeded,
            JobState::Rejected | JobState::Dead => Self::Failed,
        }
    }
}

/// The answer to a request whose job is not done yet.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Accepted {
    /// Ask for it at `/api/jobs/{jobId}`.
    #[schema(example = "01JZ5N4V7W8X9YABCDEFGHJKMN")]
    job_id: String,
    /// Where it stands.
    status: JobStatus,
}

/// Enqueues the job, holds the request as preferred, and answers.
pub(crate) async fn answer_by_job(
    state: &ApiState,
    job: NewJob,
    trace: &Trace,
    preference: Preference,
) -> Result<Response, ApiError> {
    let hold = preference.hold(state.wait);
    let deadline = Instant::now() + hold;
    let mut job = job.traced(trace.0.to_string());
    if !hold.is_zero() {
        job = job.awaited();
    }
    // Registered before the job can end, so that its end is not missed.
    let mut ticket = state.queue.store().waiters().register(job.id);
    let enqueued = enqueue(&state.queue, job).await?;
    let id = enqueued.id();
    match enqueued {
        Enqueued::New(_) => {
            tracing::info!(job_id = %id, "job enqueued");
            // Not looked up: what a client that does not wait is told must not hang on a worker's speed.
            if hold.is_zero() {
                return Ok(preferred(accepted(id, JobStatus::Queued), preference));
            }
            let _ = tokio::time::timeout_at(deadline, ticket.changed()).await;
        }
        Enqueued::Existing(_) => tracing::info!(job_id = %id, "the same job is there already"),
    }
    let response = match ticket.ended() {
        Some(ended) => finished(ended.result.clone(), ended.error.as_ref()),
        // The job is accepted, whatever happens now: a queue that goes away turns into "ask later".
        None => match outcome(state, id, deadline).await {
            Some(view) if view.state.is_final() => finished(view.result, view.error.as_ref()),
            view => accepted(id, view.map_or(JobStatus::Queued, |view| view.state.into())),
        },
    };
    Ok(preferred(response, preference))
}

/// The answer, with what was done of what the client preferred.
fn preferred(mut response: Response, preference: Preference) -> Response {
    if let Some(applied) = preference.applied() {
        response.headers_mut().insert("preference-applied", applied);
    }
    uncached(response)
}

/// An answer that is one player's business, tokens and the like: nobody keeps it.
pub(crate) fn uncached(answer: impl IntoResponse) -> Response {
    let mut response = answer.into_response();
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The job's result, or its problem.
fn finished(result: Option<Box<RawValue>>, error: Option<&Failure>) -> Response {
    match result {
        Some(result) => {
            let json = HeaderValue::from_static("application/json");
            (
                [(header::CONTENT_TYPE, json)],
                String::from(Box::<str>::from(result)),
            )
                .into_response()
        }
        None => ApiError(problem_of(error)).into_response(),
    }
}

/// The problem of a job that failed.
pub(crate) fn problem_of(error: Option<&Failure>) -> Problem {
    error.map_or_else(|| ProblemCode::Internal.into(), jobs::problem)
}

/// A short outage of the queue is waited out. Repeating is harmless: the job has its id already.
pub(crate) async fn enqueue(queue: &Queue, job: NewJob) -> Result<Enqueued, ApiError> {
    let enqueued = enqueue_all(queue, vec![job]).await?;
    let first = enqueued.first().copied();
    first.ok_or_else(|| ProblemCode::Internal.into())
}

/// The same for several jobs, in one step.
pub(crate) async fn enqueue_all(
    queue: &Queue,
    jobs: Vec<NewJob>,
) -> Result<Vec<Enqueued>, ApiError> {
    let deadline = Instant::now() + ENQUEUE_TIMEOUT;
    let mut pause = Duration::from_millis(50);
    loop {
        let attempt = queue.enqueue_all(jobs.clone());
        let error = match tokio::time::timeout_at(deadline, attempt).await {
            Ok(Ok(enqueued)) => return Ok(enqueued),
            Ok(Err(error @ StoreError::Unexpected(_))) => return Err(error.into()),
            Ok(Err(error)) => error,
            Err(_) => StoreError::Unavailable("it did not answer in time".to_owned()),
        };
        if Instant::now() + pause >= deadline {
            return Err(error.into());
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
}

async fn outcome(state: &ApiState, id: JobId, deadline: Instant) -> Option<JobView> {
    loop {
        let rest = deadline.saturating_duration_since(Instant::now());
        match state.queue.store().outcome(id, rest).await {
            Ok(view) => return view,
            Err(error) => {
                tracing::warn!(job_id = %id, %error, "the job's outcome can't be looked up");
                let pause = Duration::from_millis(100);
                if Instant::now() + pause >= deadline {
                    return None;
                }
                tokio::time::sleep(pause).await;
            }
        }
    }
}

fn accepted(id: JobId, status: JobStatus) -> Response {
    let location = HeaderValue::from_str(&format!("/api/jobs/{id}"));
    let body = axum::Json(Accepted {
        job_id: id.to_string(),
        status,
    });
    let mut response = (StatusCode::ACCEPTED, body).into_response();
    if let Ok(location) = location {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}
