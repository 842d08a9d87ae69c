//! Whether the process lives, whether its stores answer, and its metrics.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use prometheus::{Encoder, TextEncoder};
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

/// All metrics of the process, in Prometheus' text format.
pub(super) async fn metrics(State(state): State<OpsState>) -> Response {
    // Without the store the other metrics are still worth having.
    if let Ok(Ok(stats)) = tokio::time::timeout(PATIENCE, state.store.stats()).await {
        state.queue_metrics.observe_depth(&stats);
    }
    let encoder = TextEncoder::new();
    let mut text = Vec::new();
    match encoder.encode(&state.registry.gather(), &mut text) {
        Ok(()) => (
            [(header::CONTENT_TYPE, encoder.format_type().to_owned())],
            text,
        )
            .into_response(),
        Err(error) => {
            tracing::error!(%error, "the metrics can't be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
