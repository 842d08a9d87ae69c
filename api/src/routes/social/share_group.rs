//! `POST /api/wx/share/group`: which group a share was opened in. A job, since it needs the player's
//! session key.

use avalon_core::base::problem::Problem;
use avalon_core::jobs::OpenGroup;
use avalon_core::jobs::open_group::GroupOpened;
use avalon_queue::NewJob;
use avalon_wechat::OpenId;
use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::answer::{Accepted, answer_by_job};
use crate::http::extract::{JsonBody, Player};
use crate::http::preference::Preference;
use crate::http::problem::ApiError;
use crate::middleware::pipeline::Trace;
use crate::routes::accounts::profile::well_formed;
use crate::state::ApiState;

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(group))
}

/// What `wx.getGroupEnterInfo` or `wx.getShareInfo` gave.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ShareGroupRequest {
    /// Base64.
    #[schema(max_length = 16_384)]
    encrypted_data: String,
    /// Base64 of 16 bytes.
    #[schema(min_length = 24, max_length = 24)]
    iv: String,
}

/// Tells the id of the group that a share was opened in.
#[utoipa::path(
    post,
    path = "/api/wx/share/group",
    tag = "shares",
    request_body = ShareGroupRequest,
    params(("Prefer" = Option<String>, Header, description = "`wait=N` (seconds, at most 30) or `respond-async`")),
    responses(
        (status = 200, description = "The group", body = GroupOpened),
        (status = 202, description = "Not done yet: ask for the job", body = Accepted),
        (status = 400, description = "No body, or not JSON", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No good token, or the session key does not fit the data", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The player is banned", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is not sent as application/json", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A field is missing or wrong, the data name no group, or are of another app or too old", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many requests", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The queue or the database is unavailable", body = Problem, content_type = "application/problem+json"),
    ),
    security(("token" = [])),
)]
async fn group(
    State(state): State<ApiState>,
    Extension(trace): Extension<Trace>,
    Player(player): Player,
    headers: HeaderMap,
    JsonBody(request): JsonBody<ShareGroupRequest>,
) -> Result<Response, ApiError> {
    let ShareGroupRequest { encrypted_data, iv } = request;
    well_formed(&encrypted_data, &iv)?;
    let job = OpenGroup {
        user_id: player.sub,
        open_id: OpenId::new(&*player.oid),
        encrypted_data,
        iv,
    };
    let job = NewJob::from_job(&job);
    let preference = Preference::of(&headers, state.max_wait);
    answer_by_job(&state, job, &trace, preference).await
}
