//! `POST /api/wx/login`: exchanges a `wx.login` code for a session, through a job.

use std::net::IpAddr;

use avalon_core::base::problem::Problem;
use avalon_core::jobs::login::SignedIn;
use avalon_core::jobs::{Login, ReadSecret};
use avalon_wechat::JsCode;
use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::extract::{JsonBody, invalid_field, plain};
use crate::http::job_response::{Accepted, JobResponder};
use crate::http::problem::ApiError;
use crate::http::problem_sets::problems;
use crate::middleware::client_address::ClientAddress;
use crate::middleware::limits::{Counted, Limit};
use crate::middleware::rate_limits::RateLimits;
use crate::state::App;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(login))
}

/// Maximum length of an invite code or share id, in bytes.
const MAX_INVITATION: usize = 64;

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct LoginRequest {
    /// From `wx.login`. Visible ASCII.
    #[schema(max_length = 128, min_length = 1, example = "sim-alice")]
    code: String,
    /// Random id of the device, created and stored by the installation.
    #[schema(max_length = 128)]
    device_id: Option<String>,
    /// Such as `ios`, `android`, `pc`.
    #[schema(max_length = 32)]
    device_type: Option<String>,
    /// Code of the player who sent the invitation. One that is not valid is ignored.
    #[serde(default, deserialize_with = "lenient")]
    #[schema(value_type = Option<serde_json::Value>)]
    invite_code: Option<String>,
    /// Id of the share whose card was opened, from its query. One that is not valid is ignored.
    #[serde(default, deserialize_with = "lenient")]
    #[schema(value_type = Option<serde_json::Value>)]
    share_id: Option<String>,
    /// WeChat's scene value: how the game was opened.
    #[schema(minimum = 0)]
    scene: Option<i64>,
}

/// Reads what must never prevent a sign-in: anything but a short plain text counts as absent.
fn lenient<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = match Value::deserialize(deserializer)? {
        Value::String(text) => text,
        _ => return Ok(None),
    };
    let plain = text.len() <= MAX_INVITATION && !text.chars().any(char::is_control);
    Ok(plain.then_some(text))
}

impl LoginRequest {
    fn into_login(self, address: IpAddr) -> Result<Login, Problem> {
        let code = JsCode::parse(&self.code).map_err(|error| invalid_field("code", error))?;
        if self
            .scene
            .is_some_and(|scene| !(0..=i64::from(i32::MAX)).contains(&scene))
        {
            return Err(invalid_field(
                "scene",
                "must be one of WeChat's scene values",
            ));
        }
        let is_invited = self.invite_code.is_some() || self.share_id.is_some();
        Ok(Login {
            client_ip: is_invited.then_some(address),
            code: code.expose_secret().to_owned(),
            device_id: plain("deviceId", self.device_id, 128)?,
            device_type: plain("deviceType", self.device_type, 32)?,
            invite_code: self.invite_code,
            share_id: self.share_id,
            scene: self.scene,
        })
    }
}

problems! { LoginProblems: LIMITED BODY JOB DATABASE WECHAT; SignInAgain UserBanned UserBlocked }

/// Signs a player in.
///
/// The same code with the same `deviceId` within a minute gives the same response, so a client may repeat a
/// request whose response was lost. `401 SIGN_IN_AGAIN` means: call `wx.login` for a new code.
#[utoipa::path(
    post,
    path = "/api/wx/login",
    operation_id = "login",
    tag = "players",
    request_body = LoginRequest,
    params(("Prefer" = Option<String>, Header, description = "`wait=N` (seconds, at most 30) or `respond-async`")),
    responses(
        (status = 200, description = "Signed in", body = SignedIn),
        (status = 202, description = "Not finished yet: poll the job at `Location`, which has the key that reads it", body = Accepted),
        LoginProblems,
    ),
)]
async fn login(
    State(limits): State<RateLimits>,
    ClientAddress(address): ClientAddress,
    jobs: JobResponder,
    JsonBody(request): JsonBody<LoginRequest>,
) -> Result<Response, ApiError> {
    let login = request.into_login(address)?;
    if let Some(device) = &login.device_id {
        let key = Counted::device(address, device);
        limits.check(Limit::SignInDevice, key).await?;
    }
    let secret = ReadSecret::of_sign_in(&login);
    jobs.readable_with(secret).respond(&login).await
}
