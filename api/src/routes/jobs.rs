//! `GET /api/jobs/{jobId}` and its stream of events: how a client asks for a job that it was not
//! held for.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use avalon_core::accounts::tokens::Claims;
use avalon_core::base::problem::{Problem, ProblemCode};
use avalon_queue::{JobId, JobState, JobStore, JobView, Ticket};
use axum::Json;
use axum::extract::State;
use axum::response::Response;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::answer::{JobStatus, problem_of, uncached};
use crate::http::extract::{JobPath, MaybePlayer, QueryOf};
use crate::http::problem::ApiError;
use crate::state::ApiState;

/// A stream ends after this, should its job never end; the client may ask again.
const LONGEST_STREAM: Duration = Duration::from_secs(600);

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(job))
        .routes(routes!(events))
}

/// A job.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct JobResponse {
    job_id: String,
    #[schema(example = "login")]
    kind: String,
    status: JobStatus,
    /// Attempts that were begun.
    attempts: u32,
    /// What 200 would have had for a body.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    result: Option<Box<RawValue>>,
    /// Why it failed, or why the last attempt did.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Problem>,
    /// ISO 8601, UTC.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// ISO 8601, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    finished_at: Option<Timestamp>,
}

impl From<JobView> for JobResponse {
    fn from(view: JobView) -> Self {
        let time = |ms: u64| {
            i64::try_from(ms)
                .ok()
                .and_then(|ms| Timestamp::from_millisecond(ms).ok())
                .unwrap_or_default()
        };
        Self {
            job_id: view.id.to_string(),
            kind: view.kind,
            status: view.state.into(),
            attempts: view.attempts,
            result: view.result,
            error: view.error.as_ref().map(|error| problem_of(Some(error))),
            created_at: time(view.enqueued_at),
            finished_at: view.finished_at.map(time),
        }
    }
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct JobQuery {
    /// Seconds to wait for the job's end, at most 30.
    #[param(minimum = 0, maximum = 30)]
    wait: Option<u32>,
}

/// Asks for a job.
///
/// A job can be read by the player who owns it; a sign-in by whoever holds its id.
#[utoipa::path(
    get,
    path = "/api/jobs/{jobId}",
    tag = "jobs",
    params(("jobId" = String, Path, description = "From the answer 202"), JobQuery),
    responses(
        (status = 200, description = "The job as it stands", body = JobResponse),
        (status = 400, description = "The query is malformed", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "The token is not good", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The player is banned", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such job, or not yours", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many requests", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The queue is unavailable", body = Problem, content_type = "application/problem+json"),
    ),
    security((), ("token" = [])),
)]
async fn job(
    State(state): State<ApiState>,
    JobPath(id): JobPath,
    QueryOf(query): QueryOf<JobQuery>,
    MaybePlayer(player): MaybePlayer,
) -> Result<Response, ApiError> {
    // Looked at before it is waited for: who may not read it is told so at once.
    let mut view = readable(state.queue.store().get(id).await?, player.as_deref())?;
    let wait = Duration::from_secs(query.wait.unwrap_or(0).into()).min(state.max_wait);
    if !wait.is_zero() && !view.state.is_final() {
        view = readable(
            state.queue.store().outcome(id, wait).await?,
            player.as_deref(),
        )?;
    }
    Ok(uncached(Json(JobResponse::from(view))))
}

/// Streams a job's changes (server-sent events).
///
/// Each event is named `job` and has the job as `GET /api/jobs/{jobId}` gives it. The stream ends
/// with the job.
#[utoipa::path(
    get,
    path = "/api/jobs/{jobId}/events",
    tag = "jobs",
    params(("jobId" = String, Path, description = "From the answer 202")),
    responses(
        (status = 200, description = "The job at each change", body = JobResponse, content_type = "text/event-stream"),
        (status = 401, description = "The token is not good", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The player is banned", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such job, or not yours", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many requests", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The queue is unavailable", body = Problem, content_type = "application/problem+json"),
    ),
    security((), ("token" = [])),
)]
async fn events(
    State(state): State<ApiState>,
    JobPath(id): JobPath,
    MaybePlayer(player): MaybePlayer,
) -> Result<Response, ApiError> {
    // Registered before the look: no change between the two is missed.
    let ticket = state.queue.store().waiters().register(id);
    let view = readable(state.queue.store().get(id).await?, player.as_deref())?;
    let ends = tokio::time::Instant::now() + LONGEST_STREAM;
    let stopping = state.stopping.clone();
    let watch = Watch {
        store: Arc::clone(state.queue.store()),
        id,
        ticket,
        seen: None,
        ends,
    };
    // The first event is the job as it stands; each later one is waited for.
    let changes = stream::unfold((watch, Some(view)), |(mut watch, first)| async move {
        let view = match first {
            Some(view) => view,
            None => watch.change().await?,
        };
        watch.seen = Some(Seen::of(&view));
        Some((Ok::<_, Infallible>(event(view)), (watch, None)))
    });
    // A process that stops does not wait for its streams; clients ask again, elsewhere.
    let changes = changes.take_until(stopping.cancelled_owned());
    let keep_alive = KeepAlive::new().interval(Duration::from_secs(15));
    Ok(uncached(Sse::new(changes).keep_alive(keep_alive)))
}

/// One client that watches one job.
struct Watch {
    store: Arc<dyn JobStore>,
    id: JobId,
    ticket: Ticket,
    seen: Option<Seen>,
    ends: tokio::time::Instant,
}

/// What a client was told last.
#[derive(PartialEq)]
struct Seen {
    state: JobState,
    attempts: u32,
}

impl Seen {
    fn of(view: &JobView) -> Self {
        Self {
            state: view.state,
            attempts: view.attempts,
        }
    }
}

impl Watch {
    /// The job when it looks different from what was told; none when there is no more to tell.
    async fn change(&mut self) -> Option<JobView> {
        if self.seen.as_ref().is_some_and(|seen| seen.state.is_final()) {
            return None;
        }
        loop {
            tokio::time::timeout_at(self.ends, self.ticket.changed())
                .await
                .ok()?;
            match self.store.get(self.id).await {
                Ok(Some(view)) if self.seen != Some(Seen::of(&view)) => return Some(view),
                Ok(Some(_)) => {}
                Ok(None) => return None,
                // The store wakes all watchers when it is back.
                Err(error) => tracing::debug!(%error, "a watched job can't be looked up"),
            }
        }
    }
}

fn event(view: JobView) -> Event {
    let event = Event::default().event("job");
    event
        .json_data(JobResponse::from(view))
        .unwrap_or_else(|_| Event::default().event("error"))
}

/// The job, when there is one and this player may read it. The same answer for both refusals:
/// whether a job of somebody else exists is nobody's business.
fn readable(view: Option<JobView>, player: Option<&Claims>) -> Result<JobView, ApiError> {
    let view = view.ok_or(ProblemCode::JobNotFound)?;
    match &view.owner {
        None => Ok(view),
        Some(owner) if player.is_some_and(|player| player.sub.to_string() == *owner) => Ok(view),
        Some(_) => Err(ProblemCode::JobNotFound.into()),
    }
}
