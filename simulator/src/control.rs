//! The control routes under `/_sim/`: what a test or an operator does to the platform.
//!
//! Plain JSON, not WeChat's protocol, and out of reach of the faults. Strict: a body or query that it
//! does not wholly understand is answered with 400 and `{"error": …}`, and changes nothing.

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
use crate::pay::api;
use crate::platform;
use crate::players::{is_name, openid};
use crate::settings::{Behaviour, ContentType, SessionKeyRotation};
use crate::state::World;

/// The APIs of WeChat Pay that faults and lists of requests can be about.
const PAY_APIS: &[&str] = &[
    api::JSAPI,
    api::QUERY,
    api::CLOSE,
    api::REFUND,
    api::REFUND_QUERY,
    api::CERTIFICATES,
    api::BILL,
];

/// All APIs that faults and lists of requests can be about.
fn apis() -> Vec<&'static str> {
    let mut apis = vec![code2session::API];
    apis.extend(platform::api_names());
    apis.extend(PAY_APIS);
    apis
}

/// The farthest that the clock can be set either way: ten years.
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

/// What every route works on.
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
    }))
}

/// `PUT /_sim/settings`: only what is given changes; null in place of a number is none.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewSettings {
    unionid: Option<bool>,
    session_key_rotation: Option<SessionKeyRotation>,
    #[serde(default, deserialize_with = "given")]
    quota_per_minute: Option<Option<u32>>,
    #[serde(default, deserialize_with = "given")]
    token_life_seconds: Option<Option<u32>>,
    content_type: Option<ContentType>,
    clock_skew_seconds: Option<i64>,
}

/// Tells null from absent.
fn given<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Option<u32>>, D::Error> {
    Option::deserialize(value).map(Some)
}

async fn set_settings(
    State(world): Platform,
    Strict(new): Strict<NewSettings>,
) -> Result<Json<Behaviour>, Refusal> {
    if new
        .clock_skew_seconds
        .is_some_and(|skew| skew.unsigned_abs() > MAX_SKEW_SECONDS as u64)
    {
        return Err(Refusal(format!(
            "clockSkewSeconds is at most {MAX_SKEW_SECONDS} either way"
        )));
    }
    let mut state = world.state();
    let now = &mut state.behaviour;
    now.unionid = new.unionid.unwrap_or(now.unionid);
    now.session_key_rotation = new.session_key_rotation.unwrap_or(now.session_key_rotation);
    now.quota_per_minute = new.quota_per_minute.unwrap_or(now.quota_per_minute);
    now.token_life_seconds = new.token_life_seconds.unwrap_or(now.token_life_seconds);
    now.content_type = new.content_type.unwrap_or(now.content_type);
    now.clock_skew_seconds = new.clock_skew_seconds.unwrap_or(now.clock_skew_seconds);
    Ok(Json(now.clone()))
}

async fn set_faults(
    State(world): Platform,
    Strict(faults): Strict<Faults>,
) -> Result<Json<Faults>, Refusal> {
    faults.check().map_err(Refusal)?;
    if faults.api.as_deref() != Some(ALL_OF_PAY) {
        known_api(faults.api.as_deref())?;
    }
    world.state().faults = faults.clone();
    Ok(Json(faults))
}

async fn clear_faults(State(world): Platform) -> StatusCode {
    world.state().faults = Faults::default();
    StatusCode::NO_CONTENT
}

async fn reset(State(world): Platform) -> StatusCode {
    world.reset();
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
) -> Result<Json<Value>, Refusal> {
    if !is_name(&name) {
        return Err(Refusal(
            "name has 1 to 64 ASCII letters, digits, `_`, `.` and `-`".to_owned(),
        ));
    }
    let mut state = world.state();
    let now = state.now();
    let code = state.codes.mint(&name, now);
    Ok(Json(
        json!({"code": code, "openid": openid(&world.settings.app_id, &name)}),
    ))
}

/// A player with the session key of now, so that a test can sign and encrypt as WeChat does.
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
struct OfApi {
    api: Option<String>,
}

async fn requests(
    State(world): Platform,
    StrictQuery(OfApi { api }): StrictQuery<OfApi>,
) -> Result<Json<Value>, Refusal> {
    known_api(api.as_deref())?;
    let requests = world.state().requests.list(api.as_deref());
    Ok(Json(json!({"requests": requests})))
}

async fn count_requests(
    State(world): Platform,
    StrictQuery(OfApi { api }): StrictQuery<OfApi>,
) -> Result<Json<Value>, Refusal> {
    known_api(api.as_deref())?;
    let count = world.state().requests.count(api.as_deref());
    Ok(Json(json!({"count": count})))
}

fn known_api(api: Option<&str>) -> Result<(), Refusal> {
    match api {
        Some(api) if !apis().contains(&api) => Err(Refusal(format!(
            "unknown api `{api}`, expected one of {}",
            apis().join(", ")
        ))),
        _ => Ok(()),
    }
}

/// The settings of now with what is given in their place.
pub(crate) fn merged<T: Serialize + DeserializeOwned>(
    now: &T,
    given: Map<String, Value>,
) -> Result<T, Refusal> {
    let wrong = |error: serde_json::Error| Refusal(error.to_string());
    let mut settings = serde_json::to_value(now).map_err(wrong)?;
    for (name, value) in given {
        settings[name] = value;
    }
    serde_json::from_value(settings).map_err(wrong)
}

/// A 400 that says why.
pub(crate) struct Refusal(pub(crate) String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (StatusCode::BAD_REQUEST, Json(json!({"error": self.0}))).into_response()
    }
}

/// A JSON body, whatever its content type says, so that `curl -d` needs no header.
pub(crate) struct Strict<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Strict<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let body = Bytes::from_request(request, state)
            .await
            .map_err(|error| Refusal(format!("the body cannot be read: {error}")))?;
        serde_json::from_slice(&body)
            .map(Self)
            .map_err(|error| Refusal(format!("the body is not as expected: {error}")))
    }
}

/// Query parameters.
pub(crate) struct StrictQuery<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for StrictQuery<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Refusal> {
        Query::try_from_uri(request.uri())
            .map(|Query(query)| Self(query))
            .map_err(|error| Refusal(error.body_text()))
    }
}
