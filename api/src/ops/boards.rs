//! `/admin/boards`: the leaderboards, held scores, entries of given players, and players on WeChat's list of cheats.

use std::sync::Arc;

use avalon_core::audit::{self, AuditKind};
use avalon_core::base::ids::UserId;
use avalon_core::base::problem::ProblemCode;
use avalon_core::social::boards::{
    Board, BoardError, BoardSettings, Boards, Lookup, MAX_LOOKED_UP, WindowKey,
};
use avalon_core::storage::database::Database;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{delete, get, post, put};
use axum::{Json, Router};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::OpsState;
use super::audit::by_operator;
use super::scores::user_of;
use crate::http::extract::{JsonBody, Peer, QueryOf, invalid_field, invalid_query};
use crate::http::problem::ApiError;
use crate::routes::social::scores::board_name;

pub(super) fn routes() -> Router<OpsState> {
    Router::new()
        .route("/admin/boards", get(list))
        .route("/admin/boards/{board}", put(change))
        .route("/admin/boards/{board}/held", get(held))
        .route(
            "/admin/boards/{board}/held/{scoreId}/release",
            post(release),
        )
        .route("/admin/boards/{board}/held/{scoreId}/reject", post(reject))
        .route("/admin/boards/{board}/lookup", post(lookup))
        .route("/admin/cheats", get(cheats))
        .route("/admin/cheats/{openId}", delete(clear))
}

fn described(board: &Board) -> Value {
    let mut described = json!(board.settings);
    described["board"] = json!(board.name);
    described
}

async fn list(State(boards): State<Boards>) -> Result<Json<Value>, ApiError> {
    let all = boards.definitions().all().await?;
    let all: Vec<Value> = all.values().map(|board| described(board)).collect();
    Ok(Json(json!({"boards": all})))
}

/// Creates or replaces a board: omitted fields have their defaults. Takes effect within seconds.
async fn change(
    State(boards): State<Boards>,
    State(database): State<Database>,
    peer: Peer,
    Path(name): Path<String>,
    JsonBody(settings): JsonBody<BoardSettings>,
) -> Result<Json<Value>, ApiError> {
    let name = name.try_into();
    let name = name.map_err(|error| invalid_query("board", error))?;
    let board = Board::new(name, settings);
    let board = board.map_err(|error| invalid_field(error.field, error.problem))?;
    boards.definitions().put(&board, Timestamp::now()).await?;
    let event = by_operator(AuditKind::BoardChanged, peer).with("board", board.name.as_str());
    audit::record(&database, event).await;
    Ok(Json(described(&board)))
}

async fn board_of(boards: &Boards, name: String) -> Result<Arc<Board>, BoardError> {
    boards.definitions().get(&board_name(name)?).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    cursor: Option<String>,
    limit: Option<i64>,
}

/// Lists held scores, oldest first.
async fn held(
    State(boards): State<Boards>,
    Path(name): Path<String>,
    QueryOf(query): QueryOf<ListQuery>,
) -> Result<Json<Value>, ApiError> {
    let board = board_of(&boards, name).await?;
    let limit = query.limit.unwrap_or(100).clamp(1, 1000);
    let cursor = query.cursor.as_deref();
    let scores = boards.held(&board.name, cursor, limit).await?;
    let full = i64::try_from(scores.len()).is_ok_and(|count| count == limit);
    let next = scores.last().filter(|_| full);
    let next = next.map(|score| score.score_id.clone());
    Ok(Json(json!({"scores": scores, "nextCursor": next})))
}

async fn release(
    State(boards): State<Boards>,
    State(database): State<Database>,
    peer: Peer,
    Path((name, id)): Path<(String, String)>,
) -> Result<Json<Value>, ApiError> {
    judge(&boards, &database, peer, name, id, true).await
}

async fn reject(
    State(boards): State<Boards>,
    State(database): State<Database>,
    peer: Peer,
    Path((name, id)): Path<(String, String)>,
) -> Result<Json<Value>, ApiError> {
    judge(&boards, &database, peer, name, id, false).await
}

/// Judges a held score, once. A released one that comes too late for its window is reported as not ranked.
async fn judge(
    boards: &Boards,
    database: &Database,
    peer: Peer,
    name: String,
    id: String,
    release: bool,
) -> Result<Json<Value>, ApiError> {
    // Of no score; Postgres cannot compare it.
    if id.contains('\0') {
        return Err(ProblemCode::NotFound.into());
    }
    let board = board_of(boards, name).await?;
    let judged = boards.judge(&board, &id, release, Timestamp::now()).await?;
    let verdict = if release { "released" } else { "rejected" };
    let event = by_operator(AuditKind::ScoreJudged, peer)
        .with("board", board.name.as_str())
        .with("scoreId", id.as_str())
        .with("verdict", verdict);
    audit::record(database, event).await;
    Ok(Json(json!({
        "scoreId": id,
        "verdict": verdict,
        "window": judged.window.window,
        "changed": judged.change.is_some(),
        "tooLate": judged.too_late,
    })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct LookupBody {
    #[serde(default)]
    user_ids: Vec<UserId>,
    #[serde(default)]
    open_ids: Vec<String>,
    window: Option<WindowKey>,
}

/// Returns the entries of up to 100 players, also those that others do not see.
async fn lookup(
    State(boards): State<Boards>,
    Path(name): Path<String>,
    JsonBody(body): JsonBody<LookupBody>,
) -> Result<Json<Value>, ApiError> {
    if body.user_ids.len() + body.open_ids.len() > MAX_LOOKED_UP {
        return Err(invalid_field("userIds", "at most 100 players are allowed").into());
    }
    let lookup = Lookup {
        users: body.user_ids,
        open_ids: body.open_ids,
        window: body.window,
    };
    let name = board_name(name)?;
    let entries = boards.lookup(&name, &lookup, Timestamp::now()).await?;
    Ok(Json(json!({"entries": entries})))
}

/// Lists players whom WeChat lists as cheats.
async fn cheats(
    State(boards): State<Boards>,
    QueryOf(query): QueryOf<ListQuery>,
) -> Result<Json<Value>, ApiError> {
    let limit = query.limit.unwrap_or(100).clamp(1, 1000);
    let cursor = query.cursor.map(|cursor| cursor.parse()).transpose();
    let cursor = cursor.map_err(|_| invalid_query("cursor", "is not one that was issued"))?;
    let marks = boards.marks(cursor, limit).await?;
    let full = i64::try_from(marks.len()).is_ok_and(|count| count == limit);
    let next = marks.last().filter(|_| full).map(|mark| mark.user_id);
    Ok(Json(json!({"players": marks, "nextCursor": next})))
}

/// Removes a player's mark: only a later observation of WeChat's marks the player again.
async fn clear(
    State(boards): State<Boards>,
    State(database): State<Database>,
    peer: Peer,
    Path(open_id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let user = user_of(&database, None, Some(open_id)).await?;
    if !boards.clear_mark(user, Timestamp::now()).await? {
        return Err(ProblemCode::NotFound.into());
    }
    let event = by_operator(AuditKind::MarkCleared, peer).user(user);
    audit::record(&database, event).await;
    Ok(StatusCode::NO_CONTENT)
}
