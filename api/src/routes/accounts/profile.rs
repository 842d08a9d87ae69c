//! A player's profile: told by WeChat's client and opened by a job, since it needs the player's session
//! key; and looked at here.

use avalon_core::accounts::users::{self, UserInfo};
use avalon_core::base::problem::{Problem, ProblemCode};
use avalon_core::jobs::UpdateUserInfo;
use avalon_core::jobs::update_user_info::{ProfileData, UserInfoUpdated};
use avalon_queue::NewJob;
use avalon_wechat::{EncryptedData, InvalidEncryptedData, InvalidRawData, OpenId, RawData};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::answer::{Accepted, answer_by_job, uncached};
use crate::http::extract::{JsonBody, Player, invalid_field};
use crate::http::preference::Preference;
use crate::http::problem::ApiError;
use crate::middleware::pipeline::Trace;
use crate::state::ApiState;

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(update))
        .routes(routes!(show))
}

/// A profile in one of the two forms in which `wx.getUserInfo` and a `UserInfoButton` give it.
#[derive(ToSchema)]
#[schema(as = UpdateUserInfo)]
#[serde(untagged)]
#[allow(dead_code, reason = "describes what UpdateUserInfoRequest takes")]
enum UpdateUserInfoBody {
    /// Encrypted. Prefer this one: it wins over the other.
    #[schema(rename_all = "camelCase")]
    Encrypted {
        /// Base64.
        #[schema(max_length = 16_384)]
        encrypted_data: String,
        /// Base64 of 16 bytes.
        #[schema(min_length = 24, max_length = 24)]
        iv: String,
    },
    /// In the open, with a signature.
    #[schema(rename_all = "camelCase")]
    Raw {
        /// JSON, exactly as WeChat's client gave it.
        #[schema(max_length = 8192)]
        raw_data: String,
        /// 40 hex digits.
        #[schema(min_length = 40, max_length = 40)]
        signature: String,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct UpdateUserInfoRequest {
    encrypted_data: Option<String>,
    iv: Option<String>,
    raw_data: Option<String>,
    signature: Option<String>,
}

impl UpdateUserInfoRequest {
    /// One form, whole, and such as some key could open it.
    fn into_data(self) -> Result<ProfileData, Problem> {
        let encrypted = self.encrypted_data.is_some() || self.iv.is_some();
        let raw = self.raw_data.is_some() || self.signature.is_some();
        match (encrypted, raw) {
            (true, true) => Err(invalid_field(
                "the body",
                "either encryptedData and iv, or rawData and signature, not both",
            )),
            (false, false) => Err(Problem::new(ProblemCode::FieldMissing)
                .with_detail("encryptedData and iv, or rawData and signature, are required")),
            (true, false) => {
                let encrypted_data = given("encryptedData", self.encrypted_data)?;
                let iv = given("iv", self.iv)?;
                well_formed(&encrypted_data, &iv)?;
                Ok(ProfileData::Encrypted { encrypted_data, iv })
            }
            (false, true) => {
                let raw_data = given("rawData", self.raw_data)?;
                let signature = given("signature", self.signature)?;
                RawData::parse(&raw_data, &signature).map_err(|error| match error {
                    InvalidRawData::TooLong => invalid_field("rawData", error),
                    InvalidRawData::Signature => invalid_field("signature", error),
                })?;
                Ok(ProfileData::Raw {
                    raw_data,
                    signature,
                })
            }
        }
    }
}

fn given(name: &str, value: Option<String>) -> Result<String, Problem> {
    value.ok_or_else(|| {
        Problem::new(ProblemCode::FieldMissing)
            .with_detail(format!("{name}: this field is required"))
    })
}

/// Refuses what no key could open.
pub(crate) fn well_formed(encrypted_data: &str, iv: &str) -> Result<(), Problem> {
    match EncryptedData::parse(encrypted_data, iv) {
        Ok(_) => Ok(()),
        Err(error @ InvalidEncryptedData::Iv) => Err(invalid_field("iv", error)),
        Err(error) => Err(invalid_field("encryptedData", error)),
    }
}

/// Tells the player's profile, as WeChat's client has it.
///
/// Which fields are taken is decided field by field; the answer is the player as known then. `401
/// SIGN_IN_AGAIN` means that no session key at hand fits: call `wx.login`, sign in, and fetch the data
/// anew.
#[utoipa::path(
    post,
    path = "/api/wx/updateUserInfo",
    tag = "players",
    request_body = UpdateUserInfoBody,
    params(("Prefer" = Option<String>, Header, description = "`wait=N` (seconds, at most 30) or `respond-async`")),
    responses(
        (status = 200, description = "Taken", body = UserInfoUpdated),
        (status = 202, description = "Not done yet: ask for the job", body = Accepted),
        (status = 400, description = "No body, or not JSON", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No good token, or the session key does not fit the data", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The profile is another player's, or the player is banned", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is not sent as application/json", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A field is missing or wrong, or the data are of another app or too old", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many requests", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The queue or the database is unavailable", body = Problem, content_type = "application/problem+json"),
    ),
    security(("token" = [])),
)]
async fn update(
    State(state): State<ApiState>,
    Extension(trace): Extension<Trace>,
    Player(player): Player,
    headers: HeaderMap,
    JsonBody(request): JsonBody<UpdateUserInfoRequest>,
) -> Result<Response, ApiError> {
    let job = UpdateUserInfo {
        user_id: player.sub,
        open_id: OpenId::new(&*player.oid),
        data: request.into_data()?,
    };
    let job = NewJob::from_job(&job);
    let preference = Preference::of(&headers, state.max_wait);
    answer_by_job(&state, job, &trace, preference).await
}

/// The player.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct UserInfoAnswer {
    user_info: UserInfo,
}

/// The player as known now.
#[utoipa::path(
    get,
    path = "/api/wx/userInfo",
    tag = "players",
    responses(
        (status = 200, description = "The player", body = UserInfoAnswer),
        (status = 401, description = "No good token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The player is banned", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "The player is not there any more", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many requests", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The database is unavailable", body = Problem, content_type = "application/problem+json"),
    ),
    security(("token" = [])),
)]
async fn show(State(state): State<ApiState>, Player(player): Player) -> Result<Response, ApiError> {
    let user = users::by_id(&state.database, player.sub).await?;
    let user_info = user.ok_or(ProblemCode::NotFound)?;
    Ok(uncached(Json(UserInfoAnswer { user_info })))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(body: serde_json::Value) -> Result<(), (ProblemCode, String)> {
        let request: UpdateUserInfoRequest = serde_json::from_value(body).unwrap();
        request
            .into_data()
            .map(drop)
            .map_err(|problem| (problem.code, problem.detail))
    }

    #[test]
    fn a_profile_comes_in_one_form_and_whole() {
        use serde_json::json;
        let block = "AAAAAAAAAAAAAAAAAAAAAA==";
        let sha1 = "75e81ceda165f4ffa64f4068af58c64b8f54b88c";
        assert_eq!(code(json!({"encryptedData": block, "iv": block})), Ok(()));
        assert_eq!(code(json!({"rawData": "{}", "signature": sha1})), Ok(()));
        // A form that is null is not there.
        let nulls = json!({"encryptedData": block, "iv": block, "rawData": null});
        assert_eq!(code(nulls), Ok(()));
        for (body, expected, named) in [
            (json!({}), ProblemCode::FieldMissing, "encryptedData and iv"),
            (
                json!({"iv": block}),
                ProblemCode::FieldMissing,
                "encryptedData",
            ),
            (
                json!({"encryptedData": block}),
                ProblemCode::FieldMissing,
                "iv",
            ),
            (
                json!({"rawData": "{}"}),
                ProblemCode::FieldMissing,
                "signature",
            ),
            (
                json!({"signature": sha1}),
                ProblemCode::FieldMissing,
                "rawData",
            ),
            (
                json!({"encryptedData": block, "iv": block, "rawData": "{}", "signature": sha1}),
                ProblemCode::FieldInvalid,
                "the body",
            ),
            (
                json!({"encryptedData": block, "signature": sha1}),
                ProblemCode::FieldInvalid,
                "the body",
            ),
            (
                json!({"encryptedData": "AAAA", "iv": block}),
                ProblemCode::FieldInvalid,
                "encryptedData",
            ),
            (
                json!({"encryptedData": "%", "iv": block}),
                ProblemCode::FieldInvalid,
                "encryptedData",
            ),
            (
                json!({"encryptedData": block, "iv": "AAAA"}),
                ProblemCode::FieldInvalid,
                "iv",
            ),
            (
                json!({"rawData": "{}", "signature": "zz"}),
                ProblemCode::FieldInvalid,
                "signature",
            ),
            (
                json!({"rawData": "x".repeat(8193), "signature": sha1}),
                ProblemCode::FieldInvalid,
                "rawData",
            ),
        ] {
            let (code, detail) = code(body.clone()).unwrap_err();
            assert_eq!(code, expected, "{body}");
            assert!(detail.starts_with(named), "{body}: {detail}");
        }
    }
}
