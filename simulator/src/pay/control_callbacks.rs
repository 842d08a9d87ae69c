//! The control routes under `/_sim/pay/callbacks`: the policy, the list, and what is sent by hand.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::future::join_all;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::callbacks::{Callback, Policy, Status};
use super::control::{Deny, Optional, Platform};
use super::forge::{self, Wish};
use super::{Pay, deliver};
use crate::control::{Refusal, Strict, StrictQuery, merged};

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
struct Of {
    out_trade_no: Option<String>,
}

async fn list(
    State(pay): Platform,
    StrictQuery(Of { out_trade_no }): StrictQuery<Of>,
) -> Result<Json<Value>, Refusal> {
    let state = pay.world.state();
    let callbacks = &state.pay.callbacks;
    Ok(Json(json!({
        "settings": callbacks.policy,
        "callbacks": callbacks.list(out_trade_no.as_deref()),
    })))
}

async fn set_policy(
    State(pay): Platform,
    Strict(given): Strict<Map<String, Value>>,
) -> Result<Json<Policy>, Deny> {
    let mut state = pay.world.state();
    let changed = merged(&state.pay.callbacks.policy, given)?;
    if !(1..=MAX_COPIES).contains(&changed.copies) {
        return Err(Deny::bad_request("copies is from 1 to 100"));
    }
    state.pay.callbacks.policy = changed.clone();
    Ok(Json(changed))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Again {
    #[serde(default = "once")]
    copies: u32,
}

fn once() -> u32 {
    1
}

impl Default for Again {
    fn default() -> Self {
        Self { copies: once() }
    }
}

/// Sends a callback again, whatever became of it, and answers when that has been answered.
async fn repeat(
    State(pay): Platform,
    Path(id): Path<String>,
    Optional(Again { copies }): Optional<Again>,
) -> Result<Json<Callback>, Deny> {
    if !(1..=MAX_COPIES).contains(&copies) {
        return Err(Deny::bad_request("copies is from 1 to 100"));
    }
    join_all((0..copies).map(|_| deliver::attempt(&pay, &id))).await;
    shown(&pay, &id)
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    /// By default all, in the order in which they came to be.
    ids: Option<Vec<String>>,
}

/// Sends held callbacks, each when the one before has been answered.
async fn release(
    State(pay): Platform,
    Optional(Which { ids }): Optional<Which>,
) -> Result<Json<Value>, Deny> {
    let ids = {
        let mut state = pay.world.state();
        let callbacks = &mut state.pay.callbacks;
        let held = callbacks.held();
        let ids = ids.unwrap_or_else(|| held.clone());
        if let Some(other) = ids.iter().find(|id| !held.contains(*id)) {
            return Err(Deny::conflict(&format!("{other} is not held")));
        }
        for id in &ids {
            if let Some(callback) = callbacks.get_mut(id) {
                callback.status = Status::Sending;
            }
        }
        ids
    };
    for id in &ids {
        deliver::attempt(&pay, id).await;
        tokio::spawn(deliver::send_again(Arc::clone(&pay), id.clone()));
    }
    Ok(Json(json!({"released": ids})))
}

async fn forge(State(pay): Platform, Strict(wish): Strict<Wish>) -> Result<Json<Callback>, Deny> {
    let id = forge::forge(&pay, wish).await?;
    shown(&pay, &id)
}

fn shown(pay: &Pay, id: &str) -> Result<Json<Callback>, Deny> {
    let state = pay.world.state();
    let callback = state.pay.callbacks.get(id);
    callback
        .map(|callback| Json(callback.clone()))
        .ok_or_else(|| Deny::not_found("no such callback"))
}
