//! `POST /api/wx/share` and `/api/wx/share/track`: cards that players send, and what others did with them. Need no
//! job: only the database is involved.

use avalon_core::social::shares::{ShareCard, ShareError, ShareEvent, Shares};
use axum::Json;
use axum::extract::State;
use axum::response::Response;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::extract::JsonBody;
use crate::http::job_response::uncached;
use crate::http::problem::ApiError;
use crate::http::problem_sets::problems;
use crate::middleware::caller::Player;
use crate::state::App;

problems! { ShareProblems: PLAYER BODY DATABASE; SceneNotFound }
problems! { TrackProblems: PLAYER BODY DATABASE }

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(share))
        .routes(routes!(track))
}

#[derive(Deserialize, ToSchema)]
struct ShareRequest {
    /// Name of the scene.
    #[schema(min_length = 1, max_length = 32, pattern = "^[A-Za-z0-9_-]+$")]
    scene: String,
    /// The place in the game from which it is shared: one of the scene's channels.
    #[schema(max_length = 32, example = "menu")]
    channel: Option<String>,
}

/// Issues a share: its id, and what the card shows.
///
/// Sharing itself is never rewarded: WeChat forbids it.
#[utoipa::path(
    post,
    path = "/api/wx/share",
    operation_id = "createShare",
    tag = "shares",
    request_body = ShareRequest,
    responses(
        (status = 200, description = "The share", body = ShareCard),
        ShareProblems,
    ),
    security(("token" = [])),
)]
async fn share(
    State(shares): State<Shares>,
    Player(player): Player,
    JsonBody(request): JsonBody<ShareRequest>,
) -> Result<Response, ApiError> {
    // What is no name is the name of no scene.
    let scene = request.scene.try_into();
    let scene = scene.map_err(|_| ShareError::UnknownScene)?;
    let (channel, now) = (request.channel.as_deref(), Timestamp::now());
    let card = shares.issue(player.sub, &scene, channel, now).await?;
    Ok(uncached(Json(card)))
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct TrackRequest {
    /// From the query of the card.
    #[schema(max_length = 64)]
    share_id: String,
    /// What happened.
    event: ShareEvent,
}

/// The report was accepted.
#[derive(Serialize, ToSchema)]
struct Tracked {
    /// Always true.
    success: bool,
}

/// Reports that a share was shown to the player or opened.
///
/// Each counts once per player and share, and not for the player who shared. An id that has expired, is forged or was
/// never issued is rejected with `FIELD_INVALID`; nothing tells the reasons apart.
#[utoipa::path(
    post,
    path = "/api/wx/share/track",
    operation_id = "trackShare",
    tag = "shares",
    request_body = TrackRequest,
    responses(
        (status = 200, description = "Accepted", body = Tracked),
        TrackProblems,
    ),
    security(("token" = [])),
)]
async fn track(
    State(shares): State<Shares>,
    Player(player): Player,
    JsonBody(request): JsonBody<TrackRequest>,
) -> Result<Response, ApiError> {
    let TrackRequest { share_id, event } = request;
    let now = Timestamp::now();
    shares.track(player.sub, &share_id, event, now).await?;
    Ok(uncached(Json(Tracked { success: true })))
}
