//! The control routes under `/_sim/`, by which tests and operators configure the platform.
//!
//! They speak plain JSON rather than WeChat's protocol, and faults do not apply to them. Parsing is
//! strict: an unknown field in body or query returns 400 with `{"error": …}` and changes nothing.

use std::sync::Arc;

use axum::extract::{FromRequest, Path, Query, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};

use crate::code2session;
use crate::faults::{ALL_OF_PAY, Faults};
use crate::pay::{OptionalBody, api};
use crate::platform;
use crate::players::{is_name, openid};
use crate::settings::{Behaviour, ContentType, SessionKeyRotation};
use crate::state::World;
use crate::vpay;

/// The WeChat Pay APIs by which faults and the request log can be filtered.
const PAY_APIS: &[&str] = &[
    api::JSAPI,
    api::QUERY,
    api::CLOSE,
    api::REFUND,
    api::REFUND_QUERY,
    api::ABNORMAL_REFUND,
    api::CERTIFICATES,
    api::BILL,
];

/// Returns the names of all APIs by which faults and the request log can be filtered.
fn apis() -> Vec<&'static str> {
    let mut apis = vec![code2session::API];
    apis.extend(platform::api_names());
    apis.extend(vpay::api_names());
    apis.extend(PAY_APIS);
    apis
}

/// Maximum clock skew in either direction: ten years.
const MAX_SKEW_SECONDS: i64 = 10 * 366 * 24 * 3600;

pub(crate) fn routes(world: &Arc<World>) -> Router {
    Router::new()
        .route("/state", get(state))
        .route("/settings", put(set_settings))
        .route("/faults", put(set_faults).delete(clear_faults))
        .route("/reset", post(reset))
        .route("/codes", post(mint_code))
        .route("/players/{openid}", get(player))
        .route("/requests", get(requests))
        .route("/requests/count", get(count_requests))
        .with_state(Arc::clone(world))
        .merge(platform::control_routes(world))
}

/// The state of every control route.
type Platform = State<Arc<World>>;

async fn state(State(world): Platform) -> Json<Value> {
    let state = world.state();
    let (minted, spent) = state.codes.counts();
    Json(json!({
        "appId": world.settings.app_id,
        "now": state.now(),
        "settings": state.behaviour,
        "faults": state.faults,
        "codes": {"minted": minted, "spent": spent},
        "players": state.players.len(),
        "requests": state.requests.counts(),
        "pay": world.settings.pay.as_ref().map(|_| state.pay.summary()),
        "vpay": world.settings.virtual_payment.as_ref().map(|_| state.vpay.summary()),
    }))
}

/// The body of `PUT /_sim/settings`. Absent fields do not change; null clears a number.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewSettings {
    unionid: Option<bool>,
    session_key_rotation: Option<SessionKeyRotation>,
    #[serde(default, deserialize_with = "double_option")]
    quota_per_minute: Option<Option<u32>>,
    #[serde(default, deserialize_with = "double_option")]
    token_life_seconds: Option<Option<u32>>,
    content_type: Option<ContentType>,
    clock_skew_seconds: Option<i64>,
}

/// Distinguishes null from an absent field.
fn double_option<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Option<u32>>, D::Error> {
    Option::deserialize(value).map(Some)
}

async fn set_settings(
    State(world): Platform,
    Strict(new): Strict<NewSettings>,
) -> Result<Json<Behaviour>, BadRequest> {
    if new
        .clock_skew_seconds
        .is_some_and(|skew| skew.unsigned_abs() > MAX_SKEW_SECONDS as u64)
    {
        return Err(BadRequest(format!(
            "clockSkewSeconds must be from -{MAX_SKEW_SECONDS} to {MAX_SKEW_SECONDS}"
        )));
    }
    let mut state = world.state();
    let current = &mut state.behaviour;
    current.unionid = new.unionid.unwrap_or(current.unionid);
    current.session_key_rotation = new
        .session_key_rotation
        .unwrap_or(current.session_key_rotation);
    current.quota_per_minute = new.quota_per_minute.unwrap_or(current.quota_per_minute);
    current.token_life_seconds = new.token_life_seconds.unwrap_or(current.token_life_seconds);
    current.content_type = new.content_type.unwrap_or(current.content_type);
    current.clock_skew_seconds = new.clock_skew_seconds.unwrap_or(current.clock_skew_seconds);
    Ok(Json(current.clone()))
}

async fn set_faults(
    State(world): Platform,
    Strict(faults): Strict<Faults>,
) -> Result<Json<Faults>, BadRequest> {
    faults.check().map_err(BadRequest)?;
    if faults.api.as_deref() != Some(ALL_OF_PAY) {
        check_api(faults.api.as_deref())?;
    }
    world.state().faults = faults.clone();
    Ok(Json(faults))
}

async fn clear_faults(State(world): Platform) -> StatusCode {
    world.state().faults = Faults::default();
    StatusCode::NO_CONTENT
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ResetRequest {
    /// Whether access tokens remain valid: a service that runs on would be refused a new one for some seconds.
    #[serde(default)]
    keep_tokens: bool,
}

async fn reset(
    State(world): Platform,
    OptionalBody(request): OptionalBody<ResetRequest>,
) -> StatusCode {
    world.reset(request.keep_tokens);
    StatusCode::NO_CONTENT
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewCode {
    name: String,
}

async fn mint_code(
    State(world): Platform,
    Strict(NewCode { name }): Strict<NewCode>,
) -> Result<Json<Value>, BadRequest> {
    if !is_name(&name) {
        return Err(BadRequest(
            "name must have 1 to 64 ASCII letters, digits, `_`, `.` and `-`".to_owned(),
        ));
    }
    let mut state = world.state();
    let now = state.now();
    let code = state.codes.mint(&name, now);
    Ok(Json(
        json!({"code": code, "openid": openid(&world.settings.app_id, &name)}),
    ))
}

/// Returns a player with the current session key, for tests that sign and encrypt as WeChat does.
async fn player(State(world): Platform, Path(openid): Path<String>) -> Response {
    match world.state().players.get(&openid) {
        Some(player) => Json(player).into_response(),
        None => {
            let error = "no player with this openid has signed in";
            (StatusCode::NOT_FOUND, Json(json!({"error": error}))).into_response()
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ApiFilter {
    api: Option<String>,
}

async fn requests(
    State(world): Platform,
    StrictQuery(ApiFilter { api }): StrictQuery<ApiFilter>,
) -> Result<Json<Value>, BadRequest> {
    check_api(api.as_deref())?;
    let requests = world.state().requests.list(api.as_deref());
    Ok(Json(json!({"requests": requests})))
}

async fn count_requests(
    State(world): Platform,
    StrictQuery(ApiFilter { api }): StrictQuery<ApiFilter>,
) -> Result<Json<Value>, BadRequest> {
    check_api(api.as_deref())?;
    let count = world.state().requests.count(api.as_deref());
    Ok(Json(json!({"count": count})))
}

fn check_api(api: Option<&str>) -> Result<(), BadRequest> {
    match api {
        Some(api) if !apis().contains(&api) => Err(BadRequest(format!(
            "unknown api `{api}`, expected one of {}",
            apis().join(", ")
        ))),
        _ => Ok(()),
    }
}

/// Returns the current settings overridden by the given fields.
pub(crate) fn merge_settings<T: Serialize + DeserializeOwned>(
    current: &T,
    changes: Map<String, Value>,
) -> Result<T, BadRequest> {
    let invalid = |error: serde_json::Error| BadRequest(error.to_string());
    let mut settings = serde_json::to_value(current).map_err(invalid)?;
    for (name, value) in changes {
        settings[name] = value;
    }
    serde_json::from_value(settings).map_err(invalid)
}

/// A 400 response with its reason.
pub(crate) struct BadRequest(pub(crate) String);

impl IntoResponse for BadRequest {
    fn into_response(self) -> Response {
        (StatusCode::BAD_REQUEST, Json(json!({"error": self.0}))).into_response()
    }
}

/// A JSON body of any content type, so that `curl -d` needs no header.
pub(crate) struct Strict<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Strict<T> {
    type Rejection = BadRequest;

    async fn from_request(request: Request, state: &S) -> Result<Self, BadRequest> {
        let body = Bytes::from_request(request, state)
            .await
            .map_err(|error| BadRequest(format!("the body cannot be read: {error}")))?;
        serde_json::from_slice(&body)
            .map(Self)
            .map_err(|error| BadRequest(format!("invalid body: {error}")))
    }
}

/// Query parameters; unknown ones are rejected by the types that deny them.
pub(crate) struct StrictQuery<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for StrictQuery<T> {
    type Rejection = BadRequest;

    async fn from_request(request: Request, _state: &S) -> Result<Self, BadRequest> {
        Query::try_from_uri(request.uri())
            .map(|Query(query)| Self(query))
            .map_err(|error| BadRequest(error.body_text()))
    }
}
