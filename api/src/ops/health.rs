//! Whether the process lives, and whether its stores answer.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;

use super::{OpsState, Phase};
use crate::http::extract::QueryOf;

/// A store that takes longer than this does not answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// The process lives.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// How many of the stores have to answer.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Need {
    /// Each of them.
    #[default]
    All,
    /// One of them: with either alone the API still does a part of its work, which is lost when nobody
    /// sends requests to it. A payment callback needs the database alone, a sign-in the queue alone.
    Any,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReadyQuery {
    #[serde(default)]
    need: Need,
}

/// The stores answer, and the process is neither starting nor stopping.
pub(super) async fn readyz(
    State(state): State<OpsState>,
    QueryOf(ReadyQuery { need }): QueryOf<ReadyQuery>,
) -> Response {
    let queue = async { told(tokio::time::timeout(PATIENCE, state.queue.store().ping()).await) };
    let database = async { told(tokio::time::timeout(PATIENCE, state.database.ping()).await) };
    let (queue, database) = tokio::join!(queue, database);
    let phase = *state.phase.borrow();
    let enough = match need {
        Need::All => queue == "ok" && database == "ok",
        Need::Any => queue == "ok" || database == "ok",
    };
    let ready = phase == Phase::Running && enough;
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
