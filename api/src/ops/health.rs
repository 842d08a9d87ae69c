//! Liveness and readiness.

use std::time::Duration;

use avalon_core::storage::database::Database;
use avalon_queue::Queue;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::watch;

use super::Phase;
use crate::http::extract::QueryOf;

/// A store that does not respond within this is reported as `timeout`.
const STORE_TIMEOUT: Duration = Duration::from_secs(2);

/// Responds while the process is alive.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// Which stores must be available.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Need {
    /// Both.
    #[default]
    All,
    /// Either: with one store the API still serves a part of its routes, if the load balancer sends
    /// requests. A payment callback needs only the database, a sign-in only the queue.
    Any,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReadyQuery {
    #[serde(default)]
    need: Need,
}

/// Ready: the stores respond, and the process is neither starting nor stopping.
pub(super) async fn readyz(
    State(queue): State<Queue>,
    State(database): State<Database>,
    State(phase): State<watch::Receiver<Phase>>,
    QueryOf(ReadyQuery { need }): QueryOf<ReadyQuery>,
) -> Response {
    let (queue, database) =
        tokio::join!(status_of(queue.store().ping()), status_of(database.ping()),);
    let phase = *phase.borrow();
    let available = match need {
        Need::All => queue == "ok" && database == "ok",
        Need::Any => queue == "ok" || database == "ok",
    };
    let ready = phase == Phase::Running && available;
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let word = match phase {
        Phase::Starting => "starting",
        Phase::Stopping => "stopping",
        Phase::Running if ready => "ready",
        Phase::Running => "unavailable",
    };
    let body = json!({"status": word, "stores": {"queue": queue, "database": database}});
    (status, Json(body)).into_response()
}

async fn status_of<E: std::fmt::Display>(
    ping: impl Future<Output = Result<(), E>>,
) -> &'static str {
    match tokio::time::timeout(STORE_TIMEOUT, ping).await {
        Ok(Ok(())) => "ok",
        Ok(Err(error)) => {
            tracing::debug!(%error, "store unavailable");
            "unavailable"
        }
        Err(_) => "timeout",
    }
}
