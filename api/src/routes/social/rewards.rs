//! `GET /api/wx/rewards`: what a player received other than by an order, and why.

use avalon_core::social::rewards::{self, Rewards};
use avalon_core::storage::database::Database;
use axum::Json;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use ulid::Ulid;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::extract::{QueryOf, invalid_query};
use crate::http::job_response::uncached;
use crate::http::problem::ApiError;
use crate::http::problem_sets::problems;
use crate::middleware::caller::Player;
use crate::state::App;

problems! { RewardsProblems: PLAYER DATABASE; QueryInvalid }

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct RewardsQuery {
    /// `nextCursor` of the previous page.
    cursor: Option<String>,
    /// Maximum number of rewards per page; 20 by default.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<usize>,
}

/// Lists the player's rewards, newest first.
#[utoipa::path(
    get,
    path = "/api/wx/rewards",
    operation_id = "listRewards",
    tag = "leaderboards",
    params(RewardsQuery),
    responses(
        (status = 200, description = "A page of rewards", body = Rewards),
        RewardsProblems,
    ),
    security(("token" = [])),
)]
async fn list(
    State(database): State<Database>,
    Player(player): Player,
    QueryOf(query): QueryOf<RewardsQuery>,
) -> Result<Response, ApiError> {
    let limit = query.limit.unwrap_or(20);
    if !(1..=100).contains(&limit) {
        return Err(invalid_query("limit", "must be between 1 and 100").into());
    }
    let cursor = query
        .cursor
        .map(|cursor| cursor.parse::<Ulid>())
        .transpose();
    let cursor = cursor.map_err(|_| invalid_query("cursor", "is not one that was issued"))?;
    let cursor = cursor.map(|cursor| cursor.to_string());
    let rewards = rewards::list(&database, player.sub, cursor.as_deref(), limit).await?;
    Ok(uncached(Json(rewards)))
}
