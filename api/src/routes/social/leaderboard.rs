//! `GET /api/wx/leaderboard/{board}`.

use avalon_core::social::boards::{Boards, Leaderboard, Query};
use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use jiff::Timestamp;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::scores::board_name;
use crate::http::extract::{QueryOf, invalid_query};
use crate::http::job_response::uncached;
use crate::http::problem::ApiError;
use crate::http::problem_sets::problems;
use crate::middleware::caller::Player;
use crate::state::App;

problems! { LeaderboardProblems: PLAYER DATABASE; QueryInvalid BoardNotFound WindowNotFound GroupNotFound }

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(show))
}

/// Whose surroundings are asked for.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Around {
    /// The player's own.
    Me,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct LeaderboardQuery {
    /// Maximum number of entries; 20 by default.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u64>,
    /// `nextCursor` of the previous page.
    cursor: Option<String>,
    /// `me`: the page has the player in the middle.
    #[param(inline)]
    around: Option<Around>,
    /// A window such as `2026-11-29`, `2026-W48`, `2026-11` or a season; the current one by default.
    window: Option<String>,
    /// Id of a group from `getShareGroup`: ranks its members only.
    group: Option<String>,
}

/// Returns a part of a leaderboard.
#[utoipa::path(
    get,
    path = "/api/wx/leaderboard/{board}",
    operation_id = "getLeaderboard",
    tag = "leaderboards",
    params(("board" = String, Path, description = "The board"), LeaderboardQuery),
    responses(
        (status = 200, description = "A page, and the player's own entry", body = Leaderboard),
        LeaderboardProblems,
    ),
    security(("token" = [])),
)]
async fn show(
    State(boards): State<Boards>,
    Player(player): Player,
    Path(board): Path<String>,
    QueryOf(query): QueryOf<LeaderboardQuery>,
) -> Result<Response, ApiError> {
    let limit = query.limit.unwrap_or(20);
    if !(1..=100).contains(&limit) {
        return Err(invalid_query("limit", "must be between 1 and 100").into());
    }
    let around_me = query.around.is_some();
    let cursor = query.cursor.map(|cursor| cursor.parse()).transpose();
    let window = query.window.map(|window| window.parse()).transpose();
    let query = Query {
        limit,
        cursor: cursor.map_err(|error| invalid_query("cursor", error))?,
        around_me,
        window: window.map_err(|error| invalid_query("window", error))?,
        group: query.group,
    };
    let board = board_name(board)?;
    let page = boards.leaderboard(&board, player.sub, &query, Timestamp::now());
    Ok(uncached(Json(page.await?)))
}
