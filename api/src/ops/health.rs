//! Whether the process lives, and whether its stores answer.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::{OpsState, Phase};

/// A store that takes longer than this does not answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// The process lives.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// The stores answer, and the process is neither starting nor stopping.
pub(super) async fn readyz(State(state): State<OpsState>) -> Response {
    let queue = async { told(tokio::time::timeout(PATIENCE, state.store.ping()).await) };
    let database = async { told(tokio::time::timeout(PATIENCE, state.database.ping()).await) };
    let (queue, database) = tokio::join!(queue, database);
    let phase = *state.phase.borrow();
    let ready = phase == Phase::Running && queue == "ok" && database == "ok";
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

fn told<E: std::fmt::Display>(
    answer: Result<Result<(), E>, tokio::time::error::Elapsed>,
) -> &'static str {
    match answer {
        Ok(Ok(())) => "ok",
        Ok(Err(error)) => {
            tracing::debug!(%error, "a store is unavailable");
            "unavailable"
        }
        Err(_) => "timeout",
    }
}
