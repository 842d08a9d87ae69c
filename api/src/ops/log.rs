//! `/admin/log`: what is logged, changed while the process runs. Lasts until the next change, `SIGHUP`
//! (which reads the configuration again) or start.

use avalon_core::base::problem::ProblemCode;
use avalon_core::telemetry::TelemetryError;
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

/// As `log.level` in the configuration.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Level {
    level: String,
}

async fn set_level(
    State(state): State<OpsState>,
    JsonBody(level): JsonBody<Level>,
) -> Result<Json<Level>, ApiError> {
    match state.log.set_level(&level.level) {
        Ok(()) => {
            tracing::warn!(level = level.level, "an operator changed the log level");
            Ok(Json(level))
        }
        Err(TelemetryError::Filter(error)) => Err(invalid_field("level", error).into()),
        Err(error) => {
            tracing::error!(%error, "the log level can't be changed");
            Err(ProblemCode::Internal.into())
        }
    }
}
