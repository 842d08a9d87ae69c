//! `/admin/log`: changes the log level of the running process, until the next change, `SIGHUP` (which
//! reloads the configuration) or restart.

use std::sync::Arc;

use avalon_core::base::problem::ProblemCode;
use axum::extract::State;
use axum::routing::put;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use super::OpsState;
use crate::http::extract::{JsonBody, invalid_field};
use crate::http::problem::ApiError;

/// Changes the log level of the running process. Cheap to clone.
#[derive(Clone)]
pub struct LogHandle(Arc<SetLevel>);

type SetLevel = dyn Fn(&str) -> Result<(), LogLevelError> + Send + Sync;

/// Why the log level was not changed.
#[derive(Debug, thiserror::Error)]
pub enum LogLevelError {
    /// The directives are invalid.
    #[error("not a log filter: {0}")]
    Invalid(String),
    /// The subscriber is gone.
    #[error("logging can no longer be changed: {0}")]
    Unavailable(String),
}

impl LogHandle {
    /// Wraps the function that applies filter directives.
    pub fn new(set: impl Fn(&str) -> Result<(), LogLevelError> + Send + Sync + 'static) -> Self {
        Self(Arc::new(set))
    }

    /// Filters by these directives from now on, such as `info,avalon_queue=debug`.
    ///
    /// # Errors
    /// [`LogLevelError`]; the level is unchanged then.
    pub fn set_level(&self, directives: &str) -> Result<(), LogLevelError> {
        (self.0)(directives)
    }
}

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
        Err(LogLevelError::Invalid(error)) => Err(invalid_field("level", error).into()),
        Err(error) => {
            tracing::error!(%error, "log level could not be changed");
            Err(ProblemCode::Internal.into())
        }
    }
}
