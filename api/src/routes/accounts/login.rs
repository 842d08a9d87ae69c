//! `POST /api/wx/login`: a `wx.login` code becomes a token, by a job.

use crate::middleware::limits::{Counted, Limit};
use avalon_core::base::problem::Problem;
use avalon_core::jobs::Login;
use avalon_core::jobs::login::SignedIn;
use avalon_queue::NewJob;
use avalon_wechat::JsCode;
use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::answer::{Accepted, answer_by_job};
use crate::http::extract::{JsonBody, invalid_field, plain};
use crate::http::preference::Preference;
use crate::http::problem::ApiError;
use crate::middleware::client_address::ClientAddress;
use crate::middleware::guard;
use crate::middleware::pipeline::Trace;
use crate::state::ApiState;

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(login))
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct LoginRequest {
    /// From `wx.login`. Visible ASCII.
    #[schema(max_length = 128, min_length = 1, example = "sim-alice")]
    code: String,
    /// The client's own name of the device, made up at random and kept by the installation.
    #[schema(max_length = 128)]
    device_id: Option<String>,
    /// Such as `ios`, `android`, `pc`.
    #[schema(max_length = 32)]
    device_type: Option<String>,
    /// Who invited the player.
    #[schema(max_length = 64)]
    invite_code: Option<String>,
    /// WeChat's scene value of how the game was opened.
    #[schema(minimum = 0)]
    scene: Option<i64>,
}

impl LoginRequest {
    fn into_login(self) -> Result<Login, Problem> {
        let code = JsCode::parse(&self.code).map_err(|error| invalid_field("code", error))?;
        if self
            .scene
            .is_some_and(|scene| !(0..=i64::from(i32::MAX)).contains(&scene))
        {
            return Err(invalid_field("scene", "must be a number of WeChat's list"));
        }
        Ok(Login {
            code: code.expose_secret().to_owned(),
            device_id: plain("deviceId", self.device_id, 128)?,
            device_type: plain("deviceType", self.device_type, 32)?,
            invite_code: plain("inviteCode", self.invite_code, 64)?,
            scene: self.scene,
        })
    }
}

/// Signs a player in.
///
/// The same code within a minute gives the same answer, so a client may repeat a request whose
/// answer was lost. `401 SIGN_IN_AGAIN` means: call `wx.login` for a new code.
#[utoipa::path(
    post,
    path = "/api/wx/login",
    tag = "players",
    request_body = LoginRequest,
    params(("Prefer" = Option<String>, Header, description = "`wait=N` (seconds, at most 30) or `respond-async`")),
    responses(
        (status = 200, description = "Signed in", body = SignedIn),
        (status = 202, description = "Not done yet: ask for the job", body = Accepted),
        (status = 400, description = "No body, or not JSON", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "The code is unknown, expired or used", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The player is banned, or blocked by WeChat", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is not sent as application/json", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A field is missing or wrong", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many sign-ins", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "WeChat or the queue is unavailable", body = Problem, content_type = "application/problem+json"),
    ),
)]
async fn login(
    State(state): State<ApiState>,
    Extension(trace): Extension<Trace>,
    ClientAddress(address): ClientAddress,
    headers: HeaderMap,
    JsonBody(request): JsonBody<LoginRequest>,
) -> Result<Response, ApiError> {
    let login = request.into_login()?;
    if let Some(device) = &login.device_id {
        guard::take(
            &state,
            Limit::SignInDevice,
            Counted::device(address, device),
        )
        .await?;
    }
    let job = NewJob::from_job(&login);
    let preference = Preference::of(&headers, state.max_wait);
    answer_by_job(&state, job, &trace, preference).await
}
