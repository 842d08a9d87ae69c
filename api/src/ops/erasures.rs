//! `/admin/users/{openId}/erase`: the erasure of a player's personal data, which can be revoked for a while.

use std::time::Duration;

use avalon_core::accounts::users::UserInfo;
use avalon_core::audit::{self, AuditKind};
use avalon_core::base::problem::ProblemCode;
use avalon_core::jobs::ErasePlayer;
use avalon_core::personal::{ErasureCause, ErasureError, erasure};
use avalon_core::storage::database::Database;
use avalon_queue::{NewJob, Queue};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::post;
use axum::{Json, Router};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::OpsState;
use super::audit::by_operator;
use super::jobs::accept;
use super::users::player;
use crate::http::completion::run_to_completion;
use crate::http::extract::Peer;
use crate::http::problem::ApiError;
use crate::state::sub_states;

pub(super) fn routes() -> Router<OpsState> {
    Router::new().route(
        "/admin/users/{openId}/erase",
        post(erase).delete(revoke).get(show),
    )
}

/// What an erasure is requested with.
#[derive(Clone)]
struct Erasures {
    database: Database,
    queue: Queue,
    delay: Duration,
}

sub_states! { OpsState as state =>
    Erasures: Self {
        database: state.database.clone(),
        queue: state.queue.clone(),
        delay: state.erase_delay,
    };
}

/// Requests the erasure. One that was requested before is described again.
async fn erase(
    State(state): State<Erasures>,
    peer: Peer,
    Path(open_id): Path<String>,
) -> Result<Response, ApiError> {
    let user = player(&state.database, open_id).await?;
    run_to_completion(request(state, peer, user)).await
}

async fn request(state: Erasures, peer: Peer, user: UserInfo) -> Result<Response, ApiError> {
    let now = Timestamp::now();
    let due = now.checked_add(state.delay).unwrap_or(Timestamp::MAX);
    let requested =
        erasure::request(&state.database, user.id, ErasureCause::Operator, due, now).await?;
    let event = by_operator(AuditKind::ErasureRequested, peer).user(user.id);
    audit::record(&state.database, event).await;
    let (job, wait) = ErasePlayer::of(&requested);
    let job = NewJob::from_job(&job).delayed(wait);
    // Should this fail, the sweeper does it when the erasure is due.
    accept(&state.queue, job, requested.to_json()).await
}

async fn show(
    State(database): State<Database>,
    Path(open_id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let user = player(&database, open_id).await?;
    let erasure = erasure::of_player(&database, user.id).await?;
    let erasure = erasure.ok_or(ProblemCode::NotFound)?;
    Ok(Json(json!({"erasure": erasure.to_json()})))
}

async fn revoke(
    State(database): State<Database>,
    peer: Peer,
    Path(open_id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let user = player(&database, open_id).await?;
    erasure::revoke(&database, user.id).await?;
    let event = by_operator(AuditKind::ErasureRevoked, peer).user(user.id);
    audit::record(&database, event).await;
    Ok(StatusCode::NO_CONTENT)
}

impl From<ErasureError> for ApiError {
    fn from(error: ErasureError) -> Self {
        match error {
            ErasureError::Database(error) => error.into(),
            ErasureError::Begun => ProblemCode::ErasureState.into(),
            ErasureError::Unknown => ProblemCode::NotFound.into(),
            ErasureError::Keyring(error) => {
                tracing::error!(%error, "an erasure failed");
                ProblemCode::Internal.into()
            }
        }
    }
}
