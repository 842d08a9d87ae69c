//! The console's pushes: URL and settings, URL verification, the list, tests, repeats, and any other event.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use futures_util::future::join_all;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Vpay;
use super::console::Platform;
use super::ladder::Ladder;
use super::push_policy::PushPolicy;
use super::pushes::{AnswerForm, Content, NewPush, Push, Status};
use super::signatures::push_signature;
use super::state::Env;
use super::{payloads, push_delivery};
use crate::control::{Strict, StrictQuery, merge_settings};
use crate::pay::{ControlError, DIGITS, OptionalBody, random_text};

const MAX_COPIES: u32 = 100;

pub(crate) fn routes(vpay: &Arc<Vpay>) -> Router {
    Router::new()
        .route("/push-settings", put(set_policy))
        .route("/verify-url", post(verify_url))
        .route("/pushes", get(list).post(push_any))
        .route("/pushes/test", post(test))
        .route("/pushes/release", post(release))
        .route("/pushes/{id}/repeat", post(repeat))
        .with_state(Arc::clone(vpay))
}

async fn set_policy(
    State(vpay): Platform,
    Strict(changes): Strict<Map<String, Value>>,
) -> Result<Json<PushPolicy>, ControlError> {
    let mut state = vpay.world.state();
    let changed = merge_settings(&state.vpay.policy, changes)?;
    check_copies(changed.copies)?;
    state.vpay.policy = changed.clone();
    Ok(Json(changed))
}

fn check_copies(copies: u32) -> Result<(), ControlError> {
    match copies {
        1..=MAX_COPIES => Ok(()),
        _ => Err(ControlError::bad_request("copies must be from 1 to 100")),
    }
}

/// Verifies the URL as the console does when it is saved.
async fn verify_url(State(vpay): Platform) -> Result<Json<Value>, ControlError> {
    let (url, query, echo) = {
        let state = vpay.world.state();
        let policy = &state.vpay.policy;
        let url = policy.url.clone();
        let url = url.ok_or_else(|| ControlError::conflict("no URL is set"))?;
        let timestamp = state.now().as_second().to_string();
        let (nonce, echo) = (random_text::<10>(DIGITS), random_text::<19>(DIGITS));
        let mut signature = push_signature(vec![&policy.token, &timestamp, &nonce]);
        if policy.wrong_msg_signature {
            signature = push_signature(vec![&policy.token, &timestamp]);
        }
        let query = [
            ("signature", signature),
            ("timestamp", timestamp),
            ("nonce", nonce),
            ("echostr", echo.clone()),
        ];
        (url, query, echo)
    };
    let response = vpay.http.get(url).query(&query).send().await;
    let response = response.map_err(|error| ControlError::conflict(&error.to_string()))?;
    let status = response.status().as_u16();
    let answer = response.text().await.unwrap_or_default();
    let is_verified = status == 200 && answer == echo;
    Ok(Json(
        json!({"verified": is_verified, "status": status, "answer": answer}),
    ))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Filter {
    out_trade_no: Option<String>,
    event: Option<String>,
}

async fn list(State(vpay): Platform, StrictQuery(filter): StrictQuery<Filter>) -> Json<Value> {
    let state = vpay.world.state();
    let matches = |push: &&Push| {
        filter
            .event
            .as_ref()
            .is_none_or(|event| *event == push.event)
            && (filter.out_trade_no.is_none() || filter.out_trade_no == push.out_trade_no)
    };
    let pushes: Vec<_> = state.vpay.pushes.iter().filter(matches).collect();
    Json(json!({"settings": state.vpay.policy, "pushes": pushes}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TestRequest {
    event: String,
    env: Option<Env>,
}

/// Sends the console's test of a payment event once, and returns the answer.
async fn test(
    State(vpay): Platform,
    Strict(request): Strict<TestRequest>,
) -> Result<Json<Push>, ControlError> {
    let env = request.env.unwrap_or(Env::Sandbox);
    let push = payloads::mock(&request.event, env)
        .ok_or_else(|| ControlError::bad_request("not an event that the console can test"))?;
    let id = {
        let mut state = vpay.world.state();
        let now = state.now();
        state.vpay.pushes.add(push, Status::Failed, now)
    };
    push_delivery::attempt(&vpay, id).await;
    view(&vpay, id)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct AnyRequest {
    event: String,
    /// The sender, usually a player.
    openid: String,
    #[serde(default)]
    fields: Map<String, Value>,
    answer: Option<AnswerForm>,
    ladder: Option<Ladder>,
}

/// Sends an event that is not about payments, and returns once its first attempt was answered.
async fn push_any(
    State(vpay): Platform,
    Strict(request): Strict<AnyRequest>,
) -> Result<Json<Push>, ControlError> {
    let is_gift = request.event == "minigame_deliver_goods";
    let (answer, ladder) = match is_gift {
        true => (AnswerForm::ErrCode, Ladder::Gift),
        false => (AnswerForm::Success, Ladder::Other),
    };
    let push = NewPush {
        event: request.event,
        sender: request.openid,
        content: Content::Fields(request.fields),
        ladder: request.ladder.unwrap_or(ladder),
        answer: request.answer.unwrap_or(answer),
        delivers: None,
        out_trade_no: None,
        gift: None,
    };
    let id = push_delivery::send_first(&vpay, push).await;
    view(&vpay, id)
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

/// Sends a push again, whatever its status, and returns once our server answered.
async fn repeat(
    State(vpay): Platform,
    Path(id): Path<u64>,
    OptionalBody(RepeatRequest { copies }): OptionalBody<RepeatRequest>,
) -> Result<Json<Push>, ControlError> {
    check_copies(copies)?;
    join_all((0..copies).map(|_| push_delivery::attempt(&vpay, id))).await;
    view(&vpay, id)
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReleaseRequest {
    /// By default all held pushes, in the order of their creation.
    ids: Option<Vec<u64>>,
}

/// Sends held pushes one after the other, and lets their ladders run.
async fn release(
    State(vpay): Platform,
    OptionalBody(ReleaseRequest { ids }): OptionalBody<ReleaseRequest>,
) -> Result<Json<Value>, ControlError> {
    let ids = {
        let mut state = vpay.world.state();
        let is_held = |push: &&Push| push.status == Status::Held;
        let held: Vec<_> = state
            .vpay
            .pushes
            .iter()
            .filter(is_held)
            .map(|push| push.id)
            .collect();
        let ids = ids.unwrap_or_else(|| held.clone());
        if let Some(other) = ids.iter().find(|id| !held.contains(id)) {
            return Err(ControlError::conflict(&format!("push {other} is not held")));
        }
        for id in &ids {
            if let Some(push) = state.vpay.pushes.get_mut(*id) {
                push.status = Status::Sending;
            }
        }
        ids
    };
    for id in &ids {
        push_delivery::attempt(&vpay, *id).await;
        tokio::spawn(push_delivery::repeat(Arc::clone(&vpay), *id));
    }
    Ok(Json(json!({"released": ids})))
}

fn view(vpay: &Vpay, id: u64) -> Result<Json<Push>, ControlError> {
    let push = vpay.world.state().vpay.pushes.get(id).cloned();
    push.map(Json)
        .ok_or_else(|| ControlError::not_found("push not found"))
}
