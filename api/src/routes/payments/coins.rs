//! `GET /api/wx/coins`: the player's coins at WeChat.

use avalon_core::jobs::ReadCoins;
use avalon_core::payments::coins::CoinBalance;
use avalon_wechat::OpenId;
use axum::extract::State;
use axum::response::Response;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::job_response::{Accepted, JobResponder};
use crate::http::problem::ApiError;
use crate::http::problem_sets::problems;
use crate::middleware::caller::Player;
use crate::routes::payments::shop::OpenChannels;
use crate::state::App;

problems! { CoinsProblems: PLAYER JOB DATABASE PAY; SignInAgain }

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(show))
}

/// Returns the player's coins.
///
/// Coins that were just bought may arrive a little later. While WeChat cannot be asked for a player whose session
/// key it refuses, the last known balance is returned with `stale`.
#[utoipa::path(
    get,
    path = "/api/wx/coins",
    operation_id = "getCoins",
    tag = "payments",
    params(
        ("Prefer" = Option<String>, Header, description = "`wait=N` (seconds, at most 30) or `respond-async`"),
    ),
    responses(
        (status = 200, description = "The player's coins", body = CoinBalance),
        (status = 202, description = "Not finished yet: poll the job", body = Accepted),
        CoinsProblems,
    ),
    security(("token" = [])),
)]
async fn show(
    State(channels): State<OpenChannels>,
    Player(player): Player,
    jobs: JobResponder,
) -> Result<Response, ApiError> {
    channels.require_virtual_payment()?;
    let read = ReadCoins {
        user_id: player.sub,
        open_id: OpenId::new(&*player.oid),
    };
    jobs.respond(&read).await
}
