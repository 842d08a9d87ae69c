//! `GET /api/jobs/{jobId}` and its event stream: polling a job after a 202.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use avalon_core::accounts::sessions::Sessions;
use avalon_core::accounts::tokens::Claims;
use avalon_core::base::iso_time;
use avalon_core::base::problem::{Problem, ProblemCode};
use avalon_core::jobs::ReadSecret;
use avalon_queue::{JobId, JobState, JobStore, JobView, Queue, Ticket};
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::time::{Instant, timeout_at};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::extract::{JobPath, QueryOf};
use crate::http::headers::UNBUFFERED;
use crate::http::job_response::{HoldSettings, JobStatus, problem_of, uncached};
use crate::http::problem::ApiError;
use crate::http::problem_sets::problems;
use crate::middleware::caller::MaybePlayer;
use crate::state::{App, Stopping};

problems! { JobProblems: PLAYER QUEUE; QueryInvalid JobNotFound }
problems! { EventsProblems: PLAYER QUEUE; QueryInvalid JobNotFound }

/// Interval of checking that the session of a stream's player is live.
const SESSION_CHECK: Duration = Duration::from_secs(5);
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
    #[serde(serialize_with = "iso_time::serialize")]
    created_at: Timestamp,
    /// ISO 8601, UTC.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "iso_time::serialize_option"
    )]
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
    /// Part of the `Location` of a sign-in's 202.
    key: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct EventsQuery {
    /// Part of the `Location` of a sign-in's 202.
    key: Option<String>,
}

/// Returns a job.
///
/// A job can be read by the player who owns it, a sign-in job with the `key` in the `Location` of its 202; its
/// id alone grants nothing.
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
    State(sessions): State<Sessions>,
    JobPath(id): JobPath,
    QueryOf(query): QueryOf<JobQuery>,
    MaybePlayer(player): MaybePlayer,
) -> Result<Response, ApiError> {
    // Checked before waiting: a player who may not read the job is rejected immediately.
    let reader = Reader::new(player, query.key);
    let mut view = reader.check(queue.store().get(id).await?)?;
    let wait = Duration::from_secs(query.wait.unwrap_or(0).into()).min(hold.max);
    if !wait.is_zero() && !view.state.is_final() {
        view = reader.check(queue.store().outcome(id, wait).await?)?;
        reader.still_signed_in(&sessions).await?;
    }
    Ok(uncached(Json(JobResponse::from(view))))
}

/// Streams a job's changes (server-sent events).
///
/// Each event is named `job`; its data are those of `GET /api/jobs/{jobId}`. The stream ends when the
/// job has finished. A request with the `Last-Event-ID` of the final event has the response 204, at which
/// an `EventSource` stops reconnecting.
#[utoipa::path(
    get,
    path = "/api/jobs/{jobId}/events",
    operation_id = "streamJob",
    tag = "jobs",
    params(
        ("jobId" = String, Path, description = "From the 202 response"),
        EventsQuery,
        ("Last-Event-ID" = Option<String>, Header, description = "Id of the last event that was received"),
    ),
    responses(
        (status = 200, description = "The job at each change", body = JobResponse, content_type = "text/event-stream"),
        (status = 204, description = "The last event was the final one"),
        EventsProblems,
    ),
    security((), ("token" = [])),
)]
async fn events(
    State(queue): State<Queue>,
    State(sessions): State<Sessions>,
    State(Stopping(stopping)): State<Stopping>,
    JobPath(id): JobPath,
    QueryOf(query): QueryOf<EventsQuery>,
    MaybePlayer(player): MaybePlayer,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    // Registered before the lookup, so that no change between the two is missed.
    let ticket = queue.store().waiters().register(id);
    let reader = Reader::new(player, query.key);
    let view = reader.check(queue.store().get(id).await?)?;
    let last = headers.get("last-event-id").map(HeaderValue::as_bytes);
    let is_known = last.is_some_and(|id| id == Sent::of(&view).id().as_bytes());
    if is_known && view.state.is_final() {
        return Ok(uncached(StatusCode::NO_CONTENT));
    }
    let ends = Instant::now() + MAX_STREAM;
    let watch = Watch {
        store: Arc::clone(queue.store()),
        sessions,
        reader,
        id,
        ticket,
        sent: is_known.then(|| Sent::of(&view)),
        ends,
    };
    // The first event is the current state, unless the client knows it; each later one is a change.
    let first = (!is_known).then_some(view);
    let changes = stream::unfold((watch, first), |(mut watch, first)| async move {
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
    Ok(uncached((
        [UNBUFFERED],
        Sse::new(changes).keep_alive(keep_alive),
    )))
}

/// A client that watches a job.
struct Watch {
    store: Arc<dyn JobStore>,
    sessions: Sessions,
    reader: Reader,
    id: JobId,
    ticket: Ticket,
    sent: Option<Sent>,
    ends: Instant,
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

    /// The event id.
    fn id(&self) -> String {
        format!("{}-{}", self.attempts, self.state)
    }
}

impl Watch {
    /// Waits until the job differs from the last event; `None`: the stream ends.
    async fn change(&mut self) -> Option<JobView> {
        if self.sent.as_ref().is_some_and(|sent| sent.state.is_final()) {
            return None;
        }
        loop {
            let recheck = Instant::now() + SESSION_CHECK;
            let changed = timeout_at(recheck.min(self.ends), self.ticket.changed()).await;
            if changed.is_err() && Instant::now() >= self.ends {
                return None;
            }
            // A stream ends with its session: at once for a change, soon in any case.
            self.reader.still_signed_in(&self.sessions).await.ok()?;
            if changed.is_err() {
                continue;
            }
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
    let event = Event::default().event("job").id(Sent::of(&view).id());
    event
        .json_data(JobResponse::from(view))
        .unwrap_or_else(|_| Event::default().event("error"))
}

/// Who asks for a job.
struct Reader {
    player: Option<Arc<Claims>>,
    secret: Option<ReadSecret>,
}

impl Reader {
    fn new(player: Option<Arc<Claims>>, key: Option<String>) -> Self {
        let secret = key.map(ReadSecret::from);
        Self { player, secret }
    }

    /// Returns the job if this reader may see it. All errors are the same: a client must not learn whether a
    /// job of others exists. A job without an owner is no client's.
    fn check(&self, view: Option<JobView>) -> Result<JobView, ApiError> {
        let view = view.filter(|view| {
            view.owner.as_ref().is_some_and(|owner| {
                let player = self.player.as_ref();
                player.is_some_and(|player| player.sub.to_string() == *owner)
                    || self.secret.as_ref().is_some_and(|key| key.opens(owner))
            })
        });
        Ok(view.ok_or(ProblemCode::JobNotFound)?)
    }

    /// Rejects a player whose session has ended since the request began.
    async fn still_signed_in(&self, sessions: &Sessions) -> Result<(), ApiError> {
        if let Some(player) = &self.player {
            let live = sessions.live(player.sub, player.sid, Timestamp::now());
            live.await.map(drop)?;
        }
        Ok(())
    }
}
