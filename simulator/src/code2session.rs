//! `GET /sns/jscode2session`: exchanges a sign-in code for a session.
//!
//! Checks run in the order observed in reports about WeChat: method, missing parameters, grant
//! type, app id, secret, quota, code. The meaning of the codes is defined by [`crate::JsCode`].

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::Method;
use axum::middleware::from_fn_with_state;
use axum::routing::any;
use serde_json::json;

use crate::JsCode;
use crate::faults::{self, MAX_HOLD};
use crate::requests::{self, Endpoint};
use crate::state::World;
use crate::wire::{Answer, errcode};

/// The API name used by faults and the request log.
pub(crate) const API: &str = "code2session";

pub(crate) fn routes(world: &Arc<World>) -> Router {
    let endpoint = Endpoint {
        world: Arc::clone(world),
        api: API,
    };
    Router::new()
        .route("/sns/jscode2session", any(answer))
        .route_layer(from_fn_with_state(endpoint.clone(), faults::apply))
        .route_layer(from_fn_with_state(endpoint, requests::record_and_render))
        .with_state(Arc::clone(world))
}

async fn answer(
    State(world): State<Arc<World>>,
    method: Method,
    Query(query): Query<BTreeMap<String, String>>,
) -> Answer {
    if method != Method::GET {
        return Answer::Error(errcode::NEEDS_GET);
    }
    let code = match check(&world, &query) {
        Ok(code) => code,
        Err(errcode) => return Answer::Error(errcode),
    };
    exchange(&world, code).await.unwrap_or_else(Answer::Error)
}

/// Checks everything but the code itself, and returns the code.
fn check<'q>(world: &World, query: &'q BTreeMap<String, String>) -> Result<&'q str, i64> {
    let param = |name: &str, missing: i64| {
        query
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
            .ok_or(missing)
    };
    let app_id = param("appid", errcode::APPID_MISSING)?;
    let secret = param("secret", errcode::SECRET_MISSING)?;
    let code = param("js_code", errcode::CODE_MISSING)?;
    if param("grant_type", errcode::INVALID_GRANT_TYPE)? != "authorization_code" {
        return Err(errcode::INVALID_GRANT_TYPE);
    }
    if app_id != world.settings.app_id {
        return Err(errcode::INVALID_APPID);
    }
    if secret != world.settings.app_secret {
        return Err(errcode::INVALID_SECRET);
    }
    let mut state = world.state();
    let (limit, now) = (state.behaviour.quota_per_minute, state.now());
    if !state.quotas.try_acquire(API, limit, now) {
        return Err(errcode::MINUTE_QUOTA);
    }
    Ok(code)
}

/// Applies the code; returns the errcode when it fails.
async fn exchange(world: &World, code: &str) -> Result<Answer, i64> {
    match JsCode::parse(code) {
        JsCode::Minted => {
            let name = {
                let mut state = world.state();
                let now = state.now();
                state.codes.spend_minted(code, now)?
            };
            Ok(sign_in(world, &name))
        }
        JsCode::Player { name } => Ok(sign_in(world, &name)),
        JsCode::Once { name } => {
            world.state().codes.spend(code)?;
            Ok(sign_in(world, &name))
        }
        JsCode::Flaky { failures, name } => {
            if world.state().codes.fail(code, failures) {
                return Err(errcode::SYSTEM_BUSY);
            }
            Ok(sign_in(world, &name))
        }
        JsCode::Slow { delay, name } => {
            world.wait(delay).await;
            Ok(sign_in(world, &name))
        }
        JsCode::Lost { name } => {
            world.state().codes.spend(code)?;
            sign_in(world, &name);
            world.wait(MAX_HOLD).await;
            Ok(Answer::Reset)
        }
        JsCode::Reset { name } => {
            world.state().codes.spend(code)?;
            sign_in(world, &name);
            Ok(Answer::Reset)
        }
        JsCode::Error(errcode) => Err(errcode),
        JsCode::Http(status) => Ok(Answer::Http(status)),
        JsCode::Empty => Ok(Answer::Empty),
        JsCode::Truncated => Ok(Answer::Truncated),
        JsCode::Unknown => Err(errcode::INVALID_CODE),
    }
}

fn sign_in(world: &World, name: &str) -> Answer {
    let mut state = world.state();
    let (behaviour, now) = (state.behaviour.clone(), state.now());
    let player = state.players.sign_in(
        &world.settings.app_id,
        name,
        behaviour.session_key_rotation,
        now,
    );
    let mut fields = json!({"session_key": player.session_key, "openid": player.openid});
    if behaviour.unionid {
        fields["unionid"] = player.unionid.clone().into();
    }
    Answer::Success(fields)
}
