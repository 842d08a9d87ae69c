//! `GET /api/v1/events`: outcomes of jobs as a live stream of the board's log entries. It covers the jobs
//! of all processes, since workers publish what they settle.

use std::convert::Infallible;
use std::time::Duration;

use avalon_core::base::iso_time::IsoTime;
use avalon_queue::{JobId, JobState, JobView, Queue};
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive};
use axum::response::{IntoResponse, Sse};
use futures_util::stream::{self, StreamExt};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;

use crate::http::headers::UNBUFFERED;
use crate::ops::Phase;

/// Minimum time between two events: no operator reads faster, and each costs a lookup.
const MIN_INTERVAL: Duration = Duration::from_millis(50);

pub(super) async fn events(
    State(queue): State<Queue>,
    State(mut phase): State<watch::Receiver<Phase>>,
) -> impl IntoResponse {
    let changes = queue.store().waiters().watch_all();
    let entries = stream::unfold((queue, changes), |(queue, mut changes)| async move {
        let job = next(&queue, &mut changes).await?;
        tokio::time::sleep(MIN_INTERVAL).await;
        let event = Event::default().json_data(entry(&job));
        let event = event.unwrap_or_else(|_| Event::default().comment("unreadable"));
        Some((Ok::<_, Infallible>(event), (queue, changes)))
    });
    // A process that stops does not wait for its streams.
    let entries = entries.take_until(async move {
        let _ = phase.wait_for(|phase| *phase == Phase::Stopping).await;
    });
    let keep_alive = KeepAlive::new().interval(Duration::from_secs(1));
    ([UNBUFFERED], Sse::new(entries).keep_alive(keep_alive))
}

/// Waits for the next change of a job that still exists. Skips changes that were missed.
async fn next(queue: &Queue, changes: &mut Receiver<JobId>) -> Option<JobView> {
    loop {
        let id = match changes.recv().await {
            Ok(id) => id,
            Err(RecvError::Lagged(_)) => continue,
            Err(RecvError::Closed) => return None,
        };
        match queue.store().get(id).await {
            Ok(Some(job)) => return Some(job),
            Ok(None) => {}
            Err(error) => tracing::debug!(%error, "lookup of a changed job failed"),
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
        "timestamp": IsoTime(Timestamp::now()),
        "target": job.queue.as_str(),
        "fields": {"message": message},
    })
}
