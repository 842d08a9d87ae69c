//! `POST /internal/scores`: scores that the game server reports. They need no run, and are taken as plausible.

use avalon_core::accounts::users;
use avalon_core::base::ids::UserId;
use avalon_core::base::problem::ProblemCode;
use avalon_core::social::boards::{Boards, NewScore};
use avalon_core::storage::database::Database;
use avalon_wechat::OpenId;
use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::OpsState;
use crate::http::extract::{JsonBody, invalid_field};
use crate::http::problem::ApiError;
use crate::routes::social::scores::{MaybeKey, board_name, extra_json};

pub(super) fn routes() -> Router<OpsState> {
    Router::new().route("/internal/scores", post(submit))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ScoreBody {
    user_id: Option<UserId>,
    open_id: Option<String>,
    board: String,
    score: i64,
    extra: Option<Value>,
    run_id: Option<String>,
}

/// Finds a player by one of the ids.
pub(super) async fn user_of(
    database: &Database,
    user_id: Option<UserId>,
    open_id: Option<String>,
) -> Result<UserId, ApiError> {
    let found = match (user_id, open_id) {
        (Some(id), None) => users::by_id(database, id).await?,
        // No player's; Postgres cannot compare it.
        (None, Some(open_id)) if open_id.contains('\0') => None,
        (None, Some(open_id)) => users::by_open_id(database, &OpenId::new(open_id)).await?,
        _ => return Err(invalid_field("userId", "either userId or openId is required").into()),
    };
    Ok(found.ok_or(ProblemCode::UserNotFound)?.id)
}

async fn submit(
    State(boards): State<Boards>,
    State(database): State<Database>,
    MaybeKey(key): MaybeKey,
    JsonBody(body): JsonBody<ScoreBody>,
) -> Result<Json<Value>, ApiError> {
    let name = board_name(body.board)?;
    let board = boards.definitions().get(&name).await?;
    let new = NewScore {
        user: user_of(&database, body.user_id, body.open_id).await?,
        score: body.score,
        extra: extra_json(body.extra)?,
        run: body.run_id,
        key,
        trusted: true,
    };
    let answer = boards.submit(&board, new, Timestamp::now()).await?;
    Ok(Json(json!({
        "accepted": answer.accepted,
        "best": answer.best,
        "rank": answer.rank,
    })))
}
