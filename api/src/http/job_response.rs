//! Responds to a request through a job: enqueues it, holds the request, and responds with the job's
//! result, its problem, or 202 with its address.

use std::time::Duration;

use avalon_core::base::problem::{Problem, ProblemCode};
use avalon_core::jobs::{self, ReadSecret};
use avalon_queue::{Enqueued, Failure, JobId, JobState, JobView, NewJob, Queue, StoreError};
use axum::extract::{FromRef, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::time::Instant;
use utoipa::ToSchema;

use crate::http::admission::Admission;
use crate::http::preference::Preference;
use crate::http::problem::ApiError;
use crate::middleware::trace_context::Trace;

/// How long enqueueing is retried while the queue is unavailable.
const ENQUEUE_TIMEOUT: Duration = Duration::from_secs(3);

/// The status of a job, for clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum JobStatus {
    /// Waiting for a worker.
    Queued,
    /// Being executed.
    Running,
    /// Waiting for another attempt.
    Retrying,
    /// Finished with a result.
    Succeeded,
    /// Finished with an error.
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

/// The response to a request whose job is not finished yet.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Accepted {
    /// Poll it at the address in `Location`.
    #[schema(example = "01JZ5N4V7W8X9YABCDEFGHJKMN")]
    job_id: String,
    /// Its status at the time of the response.
    status: JobStatus,
}

/// How long requests are held for their jobs.
#[derive(Clone, Copy)]
pub(crate) struct HoldSettings {
    /// Without a preference of the client.
    pub(crate) default: Duration,
    /// With `Prefer: wait=N`.
    pub(crate) max: Duration,
}

/// Extractor of everything that a response through a job takes from the request and the state.
pub(crate) struct JobResponder {
    queue: Queue,
    admission: Admission,
    trace: Trace,
    preference: Preference,
    hold: Duration,
    secret: Option<ReadSecret>,
}

impl<S: Sync> FromRequestParts<S> for JobResponder
where
    Queue: FromRef<S>,
    Admission: FromRef<S>,
    HoldSettings: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let settings = HoldSettings::from_ref(state);
        let preference = Preference::of(&parts.headers, settings.max);
        Ok(Self {
            queue: Queue::from_ref(state),
            admission: Admission::from_ref(state),
            trace: parts
                .extensions
                .get()
                .cloned()
                .ok_or(ProblemCode::Internal)?,
            preference,
            hold: preference.hold(settings.default),
            secret: None,
        })
    }
}

impl JobResponder {
    /// Makes the secret part of the job's address: for a job that no player owns.
    pub(crate) fn readable_with(mut self, secret: ReadSecret) -> Self {
        self.secret = Some(secret);
        self
    }

    /// Enqueues the job, holds the request as preferred, and responds.
    ///
    /// # Errors
    /// When the queue is too far behind, or does not accept the job. A job that failed is a response, not an error.
    pub(crate) async fn respond(self, job: impl Into<NewJob>) -> Result<Response, ApiError> {
        let deadline = Instant::now() + self.hold;
        let mut job = job.into().traced(self.trace.0.to_string());
        self.admission.check(&job.queue)?;
        if !self.hold.is_zero() {
            job = job.awaited();
        }
        // Registered before the job can finish, so that its outcome is not missed.
        let mut ticket = self.queue.store().waiters().register(job.id);
        let enqueued = enqueue(&self.queue, job).await?;
        let id = enqueued.id();
        match enqueued {
            Enqueued::New(_) => {
                tracing::info!(job_id = %id, "job enqueued");
                // Not looked up: an asynchronous response must not depend on how fast a worker is.
                if self.hold.is_zero() {
                    let accepted = accepted(id, JobStatus::Queued, self.secret.as_ref());
                    return Ok(preferred(accepted, self.preference));
                }
                let _ = tokio::time::timeout_at(deadline, ticket.changed()).await;
            }
            Enqueued::Existing(_) => tracing::info!(job_id = %id, "job exists already"),
        }
        let response = match ticket.ended() {
            Some(ended) => finished(ended.result.clone(), ended.error.as_ref()),
            // The job is accepted: should the queue fail from here on, the client polls later.
            None => match outcome(&self.queue, id, deadline).await {
                Some(view) if view.state.is_final() => finished(view.result, view.error.as_ref()),
                view => {
                    let status = view.map_or(JobStatus::Queued, |view| view.state.into());
                    accepted(id, status, self.secret.as_ref())
                }
            },
        };
        Ok(preferred(response, self.preference))
    }
}

/// Adds `Preference-Applied`.
fn preferred(mut response: Response, preference: Preference) -> Response {
    if let Some(applied) = preference.applied() {
        response.headers_mut().insert("preference-applied", applied);
    }
    uncached(response)
}

/// Forbids caching of a response that contains data of one player.
pub(crate) fn uncached(response: impl IntoResponse) -> Response {
    let mut response = response.into_response();
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The response with the job's result or problem.
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

/// Enqueues a job, with retries during a short outage. A retry is idempotent, since the job has its id.
pub(crate) async fn enqueue(queue: &Queue, job: NewJob) -> Result<Enqueued, ApiError> {
    let enqueued = enqueue_all(queue, vec![job]).await?;
    let first = enqueued.first().copied();
    first.ok_or_else(|| ProblemCode::Internal.into())
}

/// As [`enqueue`], for several jobs atomically.
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
            Err(_) => StoreError::Unavailable("timed out".to_owned()),
        };
        if Instant::now() + pause >= deadline {
            return Err(error.into());
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
}

async fn outcome(queue: &Queue, id: JobId, deadline: Instant) -> Option<JobView> {
    loop {
        let remaining = deadline.saturating_duration_since(Instant::now());
        match queue.store().outcome(id, remaining).await {
            Ok(view) => return view,
            Err(error) => {
                tracing::warn!(job_id = %id, %error, "job outcome lookup failed");
                let pause = Duration::from_millis(100);
                if Instant::now() + pause >= deadline {
                    return None;
                }
                tokio::time::sleep(pause).await;
            }
        }
    }
}

fn accepted(id: JobId, status: JobStatus, secret: Option<&ReadSecret>) -> Response {
    let query = secret.map_or_else(String::new, |secret| format!("?key={}", secret.expose()));
    let location = HeaderValue::from_str(&format!("/api/jobs/{id}{query}"));
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

#[cfg(test)]
mod tests {
    use avalon_core::jobs::{Login, QUEUES};
    use avalon_queue::metrics::QueueMetrics;
    use avalon_queue::sqlite::Sqlite;
    use axum::Router;
    use axum::body::{Body, to_bytes};
    use axum::extract::Request;
    use axum::routing::post;
    use prometheus::Registry;
    use serde_json::Value;
    use std::sync::Arc;
    use tower::ServiceExt;

    use super::*;
    use crate::middleware::metrics::GuardMetrics;
    use crate::middleware::trace_context::TraceParent;

    #[derive(Clone)]
    struct State(Queue);

    impl FromRef<State> for Queue {
        fn from_ref(State(queue): &State) -> Self {
            queue.clone()
        }
    }

    impl FromRef<State> for Admission {
        fn from_ref(State(queue): &State) -> Self {
            let metrics = GuardMetrics::new(&Registry::new()).unwrap();
            Self::new(queue.clone(), Duration::from_secs(15), metrics)
        }
    }

    impl FromRef<State> for HoldSettings {
        fn from_ref(_: &State) -> Self {
            Self {
                default: Duration::from_millis(20),
                max: Duration::from_secs(30),
            }
        }
    }

    fn login_of_alice() -> Login {
        Login {
            code: "sim-alice".to_owned(),
            device_id: None,
            device_type: None,
            invite_code: None,
            share_id: None,
            client_ip: None,
            scene: None,
        }
    }

    #[tokio::test]
    async fn unfinished_job_is_202_with_its_address() {
        async fn login(jobs: JobResponder) -> Result<Response, ApiError> {
            let login = login_of_alice();
            let jobs = jobs.readable_with(ReadSecret::of_sign_in(&login));
            jobs.respond(&login).await
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queue.db");
        let store = Sqlite::open(&path, QUEUES.to_vec());
        let metrics = QueueMetrics::new(&Registry::new()).unwrap();
        let queue = Queue::new(Arc::new(store.await.unwrap()), metrics);
        let router = Router::new()
            .route("/", post(login))
            .with_state(State(queue.clone()));
        for (preference, applied) in [
            (None, None),
            (Some("respond-async"), Some("respond-async")),
            (Some("wait=0"), Some("wait=0")),
        ] {
            let mut request = Request::post("/").extension(Trace(TraceParent::new_root()));
            if let Some(preference) = preference {
                request = request.header("prefer", preference);
            }
            let request = request.body(Body::empty()).unwrap();
            let response = router.clone().oneshot(request).await.unwrap();
            let (parts, body) = response.into_parts();
            assert_eq!(parts.status, StatusCode::ACCEPTED);
            let body = to_bytes(body, usize::MAX).await.unwrap();
            let body: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(body["status"], "queued");
            let id = body["jobId"].as_str().unwrap();
            let text = |name: &str| parts.headers.get(name).map(|value| value.to_str().unwrap());
            let secret = ReadSecret::of_sign_in(&login_of_alice());
            let address = format!("/api/jobs/{id}?key={}", secret.expose());
            assert_eq!(text("location"), Some(&*address));
            assert_eq!(text("retry-after"), Some("1"));
            assert_eq!(text("cache-control"), Some("no-store"));
            assert_eq!(text("preference-applied"), applied);
            let stored = queue.store().get(id.parse().unwrap()).await.unwrap();
            let stored = stored.unwrap();
            assert!(stored.traceparent.is_some());
            assert!(secret.opens(&stored.owner.unwrap()));
        }
    }
}
