//! `POST /api/wx/share/group`: the group in which a share was opened. A job, since the data are
//! encrypted with the player's session key.

use avalon_core::jobs::OpenGroup;
use avalon_core::jobs::open_group::GroupOpened;
use avalon_core::social::shares::{ShareError, Shares};
use avalon_wechat::OpenId;
use axum::extract::State;
use axum::response::Response;
use jiff::Timestamp;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::extract::JsonBody;
use crate::http::job_response::{Accepted, JobResponder};
use crate::http::problem::ApiError;
use crate::http::problem_sets::problems;
use crate::middleware::caller::Player;
use crate::routes::accounts::profile::well_formed;
use crate::state::App;

problems! { GroupProblems: PLAYER BODY JOB DATABASE; SignInAgain WatermarkRefused }

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(group))
}

/// The result of `wx.getGroupEnterInfo` or `wx.getShareInfo`.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ShareGroupRequest {
    /// Base64.
    #[schema(max_length = 16_384)]
    encrypted_data: String,
    /// Base64 of 16 bytes.
    #[schema(min_length = 24, max_length = 24)]
    iv: String,
    /// Id of the share whose card was opened, from its query.
    #[schema(max_length = 64)]
    share_id: Option<String>,
}

/// Returns the id of the group in which a share was opened.
#[utoipa::path(
    post,
    path = "/api/wx/share/group",
    operation_id = "getShareGroup",
    tag = "shares",
    request_body = ShareGroupRequest,
    params(("Prefer" = Option<String>, Header, description = "`wait=N` (seconds, at most 30) or `respond-async`")),
    responses(
        (status = 200, description = "The group", body = GroupOpened),
        (status = 202, description = "Not finished yet: poll the job", body = Accepted),
        GroupProblems,
    ),
    security(("token" = [])),
)]
async fn group(
    State(shares): State<Shares>,
    Player(player): Player,
    jobs: JobResponder,
    JsonBody(request): JsonBody<ShareGroupRequest>,
) -> Result<Response, ApiError> {
    let ShareGroupRequest {
        encrypted_data,
        iv,
        share_id,
    } = request;
    well_formed(&encrypted_data, &iv)?;
    if let Some(share_id) = &share_id {
        let share = shares.ids().verify(share_id, Timestamp::now());
        share.ok_or(ShareError::UnknownShare)?;
    }
    let job = OpenGroup {
        user_id: player.sub,
        open_id: OpenId::new(&*player.oid),
        encrypted_data,
        iv,
        share_id,
    };
    jobs.respond(&job).await
}
