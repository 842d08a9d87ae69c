//! The control routes under `/_sim/pay/callbacks`: the policy, the list, and manual delivery.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::future::join_all;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::callbacks::{Callback, Policy, Status};
use super::control::{ControlError, OptionalBody, Platform};
use super::forgery::{self, ForgeRequest};
use super::{Pay, delivery};
use crate::control::{BadRequest, Strict, StrictQuery, merge_settings};

const MAX_COPIES: u32 = 100;

pub(crate) fn routes(pay: &Arc<Pay>) -> Router {
    Router::new()
        .route("/callbacks", get(list).put(set_policy))
        .route("/callbacks/release", post(release))
        .route("/callbacks/forge", post(forge))
        .route("/callbacks/{id}/repeat", post(repeat))
        .with_state(Arc::clone(pay))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CallbackFilter {
    out_trade_no: Option<String>,
}

async fn list(
    State(pay): Platform,
    StrictQuery(CallbackFilter { out_trade_no }): StrictQuery<CallbackFilter>,
) -> Result<Json<Value>, BadRequest> {
    let state = pay.world.state();
    let callbacks = &state.pay.callbacks;
    Ok(Json(json!({
        "settings": callbacks.policy,
        "callbacks": callbacks.list(out_trade_no.as_deref()),
    })))
}

async fn set_policy(
    State(pay): Platform,
    Strict(changes): Strict<Map<String, Value>>,
) -> Result<Json<Policy>, ControlError> {
    let mut state = pay.world.state();
    let changed = merge_settings(&state.pay.callbacks.policy, changes)?;
    if !(1..=MAX_COPIES).contains(&changed.copies) {
        return Err(ControlError::bad_request("copies must be from 1 to 100"));
    }
    state.pay.callbacks.policy = changed.clone();
    Ok(Json(changed))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RepeatRequest {
    #[serde(default = "one_copy")]
    copies: u32,
}

fn one_copy() -> u32 {
    1
}

impl Default for RepeatRequest {
    fn default() -> Self {
        Self { copies: one_copy() }
    }
}

/// Sends a callback again, whatever its status, and returns once the merchant has responded.
async fn repeat(
    State(pay): Platform,
    Path(id): Path<String>,
    OptionalBody(RepeatRequest { copies }): OptionalBody<RepeatRequest>,
) -> Result<Json<Callback>, ControlError> {
    if !(1..=MAX_COPIES).contains(&copies) {
        return Err(ControlError::bad_request("copies must be from 1 to 100"));
    }
    join_all((0..copies).map(|_| delivery::attempt(&pay, &id))).await;
    view(&pay, &id)
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReleaseRequest {
    /// Defaults to all held callbacks, in creation order.
    ids: Option<Vec<String>>,
}

/// Sends held callbacks one by one, each after the response to the previous one.
async fn release(
    State(pay): Platform,
    OptionalBody(ReleaseRequest { ids }): OptionalBody<ReleaseRequest>,
) -> Result<Json<Value>, ControlError> {
    let ids = {
        let mut state = pay.world.state();
        let callbacks = &mut state.pay.callbacks;
        let held = callbacks.held();
        let ids = ids.unwrap_or_else(|| held.clone());
        if let Some(other) = ids.iter().find(|id| !held.contains(*id)) {
            return Err(ControlError::conflict(&format!(
                "callback {other} is not held"
            )));
        }
        for id in &ids {
            if let Some(callback) = callbacks.get_mut(id) {
                callback.status = Status::Sending;
            }
        }
        ids
    };
    for id in &ids {
        delivery::attempt(&pay, id).await;
        tokio::spawn(delivery::retry(Arc::clone(&pay), id.clone()));
    }
    Ok(Json(json!({"released": ids})))
}

async fn forge(
    State(pay): Platform,
    Strict(request): Strict<ForgeRequest>,
) -> Result<Json<Callback>, ControlError> {
    let id = forgery::forge(&pay, request).await?;
    view(&pay, &id)
}

fn view(pay: &Pay, id: &str) -> Result<Json<Callback>, ControlError> {
    let state = pay.world.state();
    let callback = state.pay.callbacks.get(id);
    callback
        .map(|callback| Json(callback.clone()))
        .ok_or_else(|| ControlError::not_found("callback not found"))
}
