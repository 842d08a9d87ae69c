//! `/admin/log`: changes the log level of the running process, until the next change, `SIGHUP` (which
//! reloads the configuration) or restart.

use avalon_core::base::problem::ProblemCode;
use avalon_core::telemetry::{LogHandle, TelemetryError};
use axum::extract::State;
use axum::routing::put;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use super::OpsState;
use crate::http::extract::{JsonBody, invalid_field};
use crate::http::problem::ApiError;

pub(super) fn routes() -> Router<OpsState> {
    Router::new().route("/admin/log", put(set_level))
}

/// Same syntax as `log.level` in the configuration.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Level {
    level: String,
}

async fn set_level(
    State(log): State<LogHandle>,
    JsonBody(level): JsonBody<Level>,
) -> Result<Json<Level>, ApiError> {
    match log.set_level(&level.level) {
        Ok(()) => {
            tracing::warn!(level = level.level, "log level changed by an operator");
            Ok(Json(level))
        }
        Err(TelemetryError::Filter(error)) => Err(invalid_field("level", error).into()),
        Err(error) => {
            tracing::error!(%error, "log level could not be changed");
            Err(ProblemCode::Internal.into())
        }
    }
}
