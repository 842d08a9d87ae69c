//! A player's profile: updated from data of WeChat's client by a job, since these are encrypted with the
//! player's session key.

use avalon_core::accounts::users::{self, UserInfo};
use avalon_core::base::problem::{Problem, ProblemCode};
use avalon_core::jobs::UpdateUserInfo;
use avalon_core::jobs::update_user_info::{ProfileData, UserInfoUpdated};
use avalon_core::storage::database::Database;
use avalon_wechat::{EncryptedData, InvalidEncryptedData, InvalidRawData, OpenId, RawData};
use axum::Json;
use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::extract::{JsonBody, invalid_field};
use crate::http::job_response::{Accepted, JobResponder, uncached};
use crate::http::problem::ApiError;
use crate::http::problem_sets::problems;
use crate::middleware::caller::Player;
use crate::state::App;

problems! { UpdateProblems: PLAYER BODY JOB DATABASE; SignInAgain Forbidden WatermarkRefused }
problems! { ShowProblems: PLAYER DATABASE; NotFound }

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(update))
        .routes(routes!(show))
}

/// A profile in one of the two forms of `wx.getUserInfo` and `UserInfoButton`.
#[derive(ToSchema)]
#[schema(as = UpdateUserInfo)]
#[serde(untagged)]
#[allow(dead_code, reason = "schema of UpdateUserInfoRequest")]
enum UpdateUserInfoBody {
    /// Encrypted. Preferred: it takes precedence over the other form.
    #[schema(rename_all = "camelCase")]
    Encrypted {
        /// Base64.
        #[schema(max_length = 16_384)]
        encrypted_data: String,
        /// Base64 of 16 bytes.
        #[schema(min_length = 24, max_length = 24)]
        iv: String,
    },
    /// Plain, with a signature.
    #[schema(rename_all = "camelCase")]
    Raw {
        /// JSON, exactly as WeChat's client returned it.
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
    /// Validates that exactly one form is complete and well-formed.
    fn into_data(self) -> Result<ProfileData, Problem> {
        let encrypted = self.encrypted_data.is_some() || self.iv.is_some();
        let raw = self.raw_data.is_some() || self.signature.is_some();
        match (encrypted, raw) {
            (true, true) => Err(invalid_field(
                "the body",
                "must have either encryptedData and iv, or rawData and signature",
            )),
            (false, false) => Err(Problem::new(ProblemCode::FieldMissing).with_detail(
                "encryptedData and iv, or rawData and signature: these fields are required",
            )),
            (true, false) => {
                let encrypted_data = required("encryptedData", self.encrypted_data)?;
                let iv = required("iv", self.iv)?;
                well_formed(&encrypted_data, &iv)?;
                Ok(ProfileData::Encrypted { encrypted_data, iv })
            }
            (false, true) => {
                let raw_data = required("rawData", self.raw_data)?;
                let signature = required("signature", self.signature)?;
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

fn required(name: &str, value: Option<String>) -> Result<String, Problem> {
    value.ok_or_else(|| {
        Problem::new(ProblemCode::FieldMissing)
            .with_detail(format!("{name}: this field is required"))
    })
}

/// Rejects data that no key could decrypt.
pub(crate) fn well_formed(encrypted_data: &str, iv: &str) -> Result<(), Problem> {
    match EncryptedData::parse(encrypted_data, iv) {
        Ok(_) => Ok(()),
        Err(error @ InvalidEncryptedData::Iv) => Err(invalid_field("iv", error)),
        Err(error) => Err(invalid_field("encryptedData", error)),
    }
}

/// Updates the player's profile from data of WeChat's client.
///
/// Each field is merged by its own rule; the response is the player after the update. `401
/// SIGN_IN_AGAIN` means that no stored session key matches: call `wx.login`, sign in, and fetch the data
/// again.
#[utoipa::path(
    post,
    path = "/api/wx/updateUserInfo",
    operation_id = "updateUserInfo",
    tag = "players",
    request_body = UpdateUserInfoBody,
    params(("Prefer" = Option<String>, Header, description = "`wait=N` (seconds, at most 30) or `respond-async`")),
    responses(
        (status = 200, description = "Updated", body = UserInfoUpdated),
        (status = 202, description = "Not finished yet: poll the job", body = Accepted),
        UpdateProblems,
    ),
    security(("token" = [])),
)]
async fn update(
    Player(player): Player,
    jobs: JobResponder,
    JsonBody(request): JsonBody<UpdateUserInfoRequest>,
) -> Result<Response, ApiError> {
    let job = UpdateUserInfo {
        user_id: player.sub,
        open_id: OpenId::new(&*player.oid),
        data: request.into_data()?,
    };
    jobs.respond(&job).await
}

/// A player.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UserInfoAnswer)]
struct UserInfoResponse {
    user_info: UserInfo,
}

/// The player's profile.
#[utoipa::path(
    get,
    path = "/api/wx/userInfo",
    operation_id = "getUserInfo",
    tag = "players",
    responses(
        (status = 200, description = "The player", body = UserInfoResponse),
        ShowProblems,
    ),
    security(("token" = [])),
)]
async fn show(
    State(database): State<Database>,
    Player(player): Player,
) -> Result<Response, ApiError> {
    let user = users::by_id(&database, player.sub).await?;
    let user_info = user.ok_or(ProblemCode::NotFound)?;
    Ok(uncached(Json(UserInfoResponse { user_info })))
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
    fn profile_has_exactly_one_complete_form() {
        use serde_json::json;
        let block = "AAAAAAAAAAAAAAAAAAAAAA==";
        let sha1 = "75e81ceda165f4ffa64f4068af58c64b8f54b88c";
        assert_eq!(code(json!({"encryptedData": block, "iv": block})), Ok(()));
        assert_eq!(code(json!({"rawData": "{}", "signature": sha1})), Ok(()));
        // Null counts as absent.
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
