//! `GET /api/jobs/{jobId}` and its event stream: polling a job after a 202.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use avalon_core::accounts::tokens::Claims;
use avalon_core::base::problem::{Problem, ProblemCode};
use avalon_queue::{JobId, JobState, JobStore, JobView, Queue, Ticket};
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

use crate::http::extract::{JobPath, QueryOf};
use crate::http::job_response::{HoldSettings, JobStatus, problem_of, uncached};
use crate::http::problem::ApiError;
use crate::http::problem_sets::problems;
use crate::middleware::caller::MaybePlayer;
use crate::state::{App, Stopping};

problems! { JobProblems: PLAYER QUEUE; QueryInvalid JobNotFound }
problems! { EventsProblems: PLAYER QUEUE; JobNotFound }

/// Maximum duration of a stream whose job does not finish; the client may reconnect.
const MAX_STREAM: Duration = Duration::from_secs(600);

pub(crate) fn routes() -> OpenApiRouter<App> {
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
    /// Number of attempts that were started.
    attempts: u32,
    /// The body that a 200 response would have had.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    result: Option<Box<RawValue>>,
    /// Why the job, or its last attempt, failed.
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
    /// Seconds to wait for the job to finish, at most 30.
    #[param(minimum = 0, maximum = 30)]
    wait: Option<u32>,
}

/// Returns a job.
///
/// A job can be read by the player who owns it; a sign-in job by any holder of its id.
#[utoipa::path(
    get,
    path = "/api/jobs/{jobId}",
    operation_id = "getJob",
    tag = "jobs",
    params(("jobId" = String, Path, description = "From the 202 response"), JobQuery),
    responses(
        (status = 200, description = "The current state of the job", body = JobResponse),
        JobProblems,
    ),
    security((), ("token" = [])),
)]
async fn job(
    State(queue): State<Queue>,
    State(hold): State<HoldSettings>,
    JobPath(id): JobPath,
    QueryOf(query): QueryOf<JobQuery>,
    MaybePlayer(player): MaybePlayer,
) -> Result<Response, ApiError> {
    // Checked before waiting: a player who may not read the job is rejected immediately.
    let mut view = readable(queue.store().get(id).await?, player.as_deref())?;
    let wait = Duration::from_secs(query.wait.unwrap_or(0).into()).min(hold.max);
    if !wait.is_zero() && !view.state.is_final() {
        view = readable(queue.store().outcome(id, wait).await?, player.as_deref())?;
    }
    Ok(uncached(Json(JobResponse::from(view))))
}

/// Streams a job's changes (server-sent events).
///
/// Each event is named `job`; its data are those of `GET /api/jobs/{jobId}`. The stream ends when the
/// job has finished.
#[utoipa::path(
    get,
    path = "/api/jobs/{jobId}/events",
    operation_id = "streamJob",
    tag = "jobs",
    params(("jobId" = String, Path, description = "From the 202 response")),
    responses(
        (status = 200, description = "The job at each change", body = JobResponse, content_type = "text/event-stream"),
        EventsProblems,
    ),
    security((), ("token" = [])),
)]
async fn events(
    State(queue): State<Queue>,
    State(Stopping(stopping)): State<Stopping>,
    JobPath(id): JobPath,
    MaybePlayer(player): MaybePlayer,
) -> Result<Response, ApiError> {
    // Registered before the lookup, so that no change between the two is missed.
    let ticket = queue.store().waiters().register(id);
    let view = readable(queue.store().get(id).await?, player.as_deref())?;
    let ends = tokio::time::Instant::now() + MAX_STREAM;
    let watch = Watch {
        store: Arc::clone(queue.store()),
        id,
        ticket,
        sent: None,
        ends,
    };
    // The first event is the current state; each later one is a change.
    let changes = stream::unfold((watch, Some(view)), |(mut watch, first)| async move {
        let view = match first {
            Some(view) => view,
            None => watch.change().await?,
        };
        watch.sent = Some(Sent::of(&view));
        Some((Ok::<_, Infallible>(event(view)), (watch, None)))
    });
    // A process that stops does not wait for its streams; clients reconnect to another one.
    let changes = changes.take_until(stopping.cancelled_owned());
    let keep_alive = KeepAlive::new().interval(Duration::from_secs(15));
    Ok(uncached(Sse::new(changes).keep_alive(keep_alive)))
}

/// A client that watches a job.
struct Watch {
    store: Arc<dyn JobStore>,
    id: JobId,
    ticket: Ticket,
    sent: Option<Sent>,
    ends: tokio::time::Instant,
}

/// What the last event reported.
#[derive(PartialEq)]
struct Sent {
    state: JobState,
    attempts: u32,
}

impl Sent {
    fn of(view: &JobView) -> Self {
        Self {
            state: view.state,
            attempts: view.attempts,
        }
    }
}

impl Watch {
    /// Waits until the job differs from the last event; `None`: the stream ends.
    async fn change(&mut self) -> Option<JobView> {
        if self.sent.as_ref().is_some_and(|sent| sent.state.is_final()) {
            return None;
        }
        loop {
            tokio::time::timeout_at(self.ends, self.ticket.changed())
                .await
                .ok()?;
            match self.store.get(self.id).await {
                Ok(Some(view)) if self.sent != Some(Sent::of(&view)) => return Some(view),
                Ok(Some(_)) => {}
                Ok(None) => return None,
                // The store wakes all watchers when it is available again.
                Err(error) => tracing::debug!(%error, "lookup of a watched job failed"),
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

/// Returns the job if this player may read it. Both errors are the same: a client must not learn whether
/// another player's job exists.
fn readable(view: Option<JobView>, player: Option<&Claims>) -> Result<JobView, ApiError> {
    let view = view.ok_or(ProblemCode::JobNotFound)?;
    match &view.owner {
        None => Ok(view),
        Some(owner) if player.is_some_and(|player| player.sub.to_string() == *owner) => Ok(view),
        Some(_) => Err(ProblemCode::JobNotFound.into()),
    }
}
