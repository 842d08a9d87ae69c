//! `/admin/invites` and `/internal/milestones`: who invited whom, and what invited players reach.

use avalon_core::accounts::users;
use avalon_core::base::ids::UserId;
use avalon_core::base::problem::ProblemCode;
use avalon_core::social::invites::Invites;
use avalon_core::social::invites::config::Milestone;
use avalon_core::storage::database::Database;
use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::OpsState;
use super::users::player;
use crate::http::extract::{JsonBody, invalid_field};
use crate::http::problem::ApiError;

pub(super) fn routes() -> Router<OpsState> {
    Router::new()
        .route("/admin/invites/{openId}", get(tree))
        .route("/internal/milestones", post(reach))
}

/// Shows who invited a player, and whom the player invited, over a few generations.
async fn tree(
    State(database): State<Database>,
    State(invites): State<Invites>,
    Path(open_id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let user = player(&database, open_id).await?;
    let tree = invites.tree(user.id).await?;
    let (user_id, open_id) = (user.id, user.open_id);
    Ok(Json(json!({
        "userId": user_id,
        "openId": open_id,
        "invitedBy": tree.invited_by,
        "invited": tree.invited,
        "truncated": tree.truncated,
    })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct MilestoneBody {
    user_id: Option<UserId>,
    open_id: Option<String>,
    milestone: String,
}

/// The game server reports that a player has reached a milestone. Repeating it changes nothing.
async fn reach(
    State(database): State<Database>,
    State(invites): State<Invites>,
    JsonBody(body): JsonBody<MilestoneBody>,
) -> Result<Json<Value>, ApiError> {
    let configured = &invites.config().milestone;
    if !matches!(configured, Some(Milestone::Event(name)) if *name == body.milestone) {
        let rule = "must be the event of social.invites.milestone";
        return Err(invalid_field("milestone", rule).into());
    }
    let user = match (body.user_id, body.open_id) {
        (Some(id), None) => users::by_id(&database, id).await?,
        (None, Some(open_id)) => Some(player(&database, open_id).await?),
        _ => return Err(invalid_field("userId", "one of userId and openId is required").into()),
    };
    let user = user.ok_or(ProblemCode::UserNotFound)?.id;
    invites.reach(&[user], Timestamp::now()).await?;
    Ok(Json(
        json!({ "userId": user, "state": invites.state_of(user).await? }),
    ))
}
