//! What changes while the page is open, as server-sent events: orders, pushes, jobs, counts of events, and the
//! callbacks of the simulator. Read in this process twice a second while a page is connected; nothing is read otherwise.

use std::collections::HashMap;
use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use tracing::instrument::WithSubscriber;
use tracing::subscriber::NoSubscriber;

use super::Target;

const INTERVAL: Duration = Duration::from_millis(500);
/// A page of twenty entries is far smaller.
const MAX_BYTES: usize = 1 << 20;

/// Name of the event, path at the operators' routes or the simulator (`/_sim`).
const SOURCES: [(&str, &str); 8] = [
    ("orders", "/admin/orders?limit=20"),
    ("pushes", "/admin/pushes?limit=20"),
    ("events", "/admin/stats/events"),
    ("jobs-queued", "/admin/jobs?status=queued&limit=20"),
    ("jobs-running", "/admin/jobs?status=running&limit=20"),
    ("jobs-retrying", "/admin/jobs?status=retrying&limit=20"),
    ("jobs-dead", "/admin/jobs?status=dead&limit=20"),
    ("callbacks", "/_sim/pay/callbacks"),
];

/// What the stream reads.
#[derive(Clone)]
pub(super) struct Live {
    pub(super) simulator: Target,
    pub(super) operators: Target,
    /// Ends the streams when the process stops.
    pub(super) stop: CancellationToken,
}

pub(super) async fn stream(State(live): State<Live>) -> Response {
    let stop = live.stop.clone();
    let watch = Watch {
        live,
        sent: HashMap::new(),
        next: 0,
    };
    let changes = stream::unfold(watch, |mut watch| async move {
        let event = watch.change().await;
        Some((Ok::<_, Infallible>(event), watch))
    });
    let changes = changes.take_until(stop.cancelled_owned());
    Sse::new(changes)
        .keep_alive(KeepAlive::default())
        .into_response()
}

struct Watch {
    live: Live,
    /// The content that was last sent of each source.
    sent: HashMap<&'static str, Bytes>,
    /// Index of the source that is read next.
    next: usize,
}

impl Watch {
    /// Waits for the next change.
    async fn change(&mut self) -> Event {
        loop {
            if self.next == SOURCES.len() {
                self.next = 0;
                tokio::time::sleep(INTERVAL).await;
            }
            let (name, path) = SOURCES[self.next];
            self.next += 1;
            let Some(content) = self.live.read(path).await else {
                continue;
            };
            if self.sent.get(name) != Some(&content) {
                let event = Event::default().event(name);
                let event = event.data(String::from_utf8_lossy(&content));
                self.sent.insert(name, content);
                return event;
            }
        }
    }
}

impl Live {
    /// Reads a path; `None` while that fails. Such reads are no requests of an operator, so they are not logged.
    async fn read(&self, path: &'static str) -> Option<Bytes> {
        let target = match path.starts_with("/_sim") {
            true => &self.simulator,
            false => &self.operators,
        };
        let mut request = Request::get(path).body(Body::empty()).ok()?;
        target.authorize(request.headers_mut());
        let response = target.router.clone().oneshot(request);
        let response = response.with_subscriber(NoSubscriber::default()).await;
        let response = response.into_response();
        match response.status().is_success() {
            true => to_bytes(response.into_body(), MAX_BYTES).await.ok(),
            false => None,
        }
    }
}
