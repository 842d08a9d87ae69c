//! `GET /api/wx/invites`: the player's invite code, whom it brought, and what the player received for it.

use avalon_core::social::invites::{InvitedPlayer, Invites, code_of};
use avalon_core::social::rewards::{self, Reward};
use avalon_core::storage::database::Database;
use axum::Json;
use axum::extract::State;
use axum::response::Response;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::job_response::uncached;
use crate::http::problem::ApiError;
use crate::http::problem_sets::problems;
use crate::middleware::caller::Player;
use crate::state::App;

problems! { InvitesProblems: PLAYER DATABASE }

/// Maximum number of players and of rewards in an answer.
const MAX_LISTED: i64 = 200;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(invites))
}

/// The player's invitations.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct InvitesAnswer {
    /// The player's code.
    invite_code: String,
    /// The players who came by it or by a share, newest first, at most 200.
    invited: Vec<InvitedPlayer>,
    /// What the player received for invitations, newest first, at most 200.
    rewards: Vec<Reward>,
}

/// Lists whom the player has invited, without names, and the rewards for it.
#[utoipa::path(
    get,
    path = "/api/wx/invites",
    operation_id = "listInvites",
    tag = "shares",
    responses(
        (status = 200, description = "The invitations", body = InvitesAnswer),
        InvitesProblems,
    ),
    security(("token" = [])),
)]
async fn invites(
    State(database): State<Database>,
    State(invites): State<Invites>,
    Player(player): Player,
) -> Result<Response, ApiError> {
    let user = player.sub;
    let code = code_of(&database, user, Timestamp::now()).await?;
    Ok(uncached(Json(InvitesAnswer {
        invite_code: code.to_string(),
        invited: invites.invited_by(user, MAX_LISTED).await?,
        rewards: rewards::of_invites(&database, user, MAX_LISTED).await?,
    })))
}
