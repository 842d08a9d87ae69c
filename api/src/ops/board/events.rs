//! `GET /api/v1/events`: what becomes of jobs, as it happens, in the form of the board's log entries.
//! All processes' jobs are heard of, since workers announce what they settle to those who wait.

use std::convert::Infallible;
use std::time::Duration;

use avalon_queue::{JobId, JobState, JobView};
use axum::extract::State;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures_util::stream::{self, Stream, StreamExt};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use crate::ops::{OpsState, Phase};

/// From one event to the next, at least: nobody reads faster, and each costs a look at the store.
const PACE: Duration = Duration::from_millis(50);

pub(super) async fn events(
    State(state): State<OpsState>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let changes = state.queue.store().waiters().watch_all();
    let mut phase = state.phase.clone();
    let told = stream::unfold((state, changes), |(state, mut changes)| async move {
        let job = next(&state, &mut changes).await?;
        tokio::time::sleep(PACE).await;
        let event = Event::default().json_data(entry(&job));
        let event = event.unwrap_or_else(|_| Event::default().comment("unreadable"));
        Some((Ok(event), (state, changes)))
    });
    // A process that stops does not wait for those who look on.
    let told = told.take_until(async move {
        let _ = phase.wait_for(|phase| *phase == Phase::Stopping).await;
    });
    Sse::new(told).keep_alive(KeepAlive::new().interval(Duration::from_secs(1)))
}

/// The next job that has changed and is still known. Changes that came too fast are passed over.
async fn next(state: &OpsState, changes: &mut Receiver<JobId>) -> Option<JobView> {
    loop {
        let id = match changes.recv().await {
            Ok(id) => id,
            Err(RecvError::Lagged(_)) => continue,
            Err(RecvError::Closed) => return None,
        };
        match state.queue.store().get(id).await {
            Ok(Some(job)) => return Some(job),
            Ok(None) => {}
            Err(error) => tracing::debug!(%error, "a job that changed can't be looked up"),
        }
    }
}

fn entry(job: &JobView) -> Value {
    let level = match job.state {
        JobState::Dead => "ERROR",
        JobState::Retrying => "WARN",
        _ => "INFO",
    };
    let message = match &job.error {
        Some(error) => format!("{} {}: {error}", job.kind, job.state),
        None => format!("{} {}", job.kind, job.state),
    };
    json!({
        "span": {"attempt": job.attempts, "task_id": job.id.to_string(), "name": job.kind},
        "level": level,
        "timestamp": Timestamp::now().to_string(),
        "target": job.queue.as_str(),
        "fields": {"message": message},
    })
}
