//! Subscribe messages with WeChat's pushes: a panel is answered and pushed, as are changes of the settings.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Vpay;
use super::console::Platform;
use super::ladder::Ladder;
use super::push_delivery;
use super::pushes::{AnswerForm, Content, NewPush};
use crate::control::Strict;
use crate::pay::ControlError;
use crate::platform::PanelAnswer;

pub(super) fn routes(vpay: &Arc<Vpay>) -> Router {
    Router::new()
        .route("/subscriptions/panel", post(panel))
        .route("/subscriptions/settings", post(settings))
        .with_state(Arc::clone(vpay))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PanelRequest {
    openid: String,
    /// Answers by template, at most three.
    results: BTreeMap<String, PanelAnswer>,
}

/// Answers a panel, and returns once its push was answered.
async fn panel(
    State(vpay): Platform,
    Strict(request): Strict<PanelRequest>,
) -> Result<Json<Value>, ControlError> {
    if !(1..=3).contains(&request.results.len()) {
        return Err(ControlError::bad_request(
            "a panel has one to three templates",
        ));
    }
    {
        let mut state = vpay.world.state();
        let subscriptions = &mut state.platform.subscriptions;
        for (template, answer) in &request.results {
            subscriptions.answer(&request.openid, template, *answer);
        }
    }
    let entries = request.results.iter().filter_map(|(template, answer)| {
        let status = answer.pushed()?;
        Some(json!({"TemplateId": template, "SubscribeStatusString": status, "PopupScene": "0"}))
    });
    let list = entries.collect();
    push(&vpay, "subscribe_msg_popup_event", &request.openid, list).await;
    Ok(Json(json!({"results": request.results})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SettingsRequest {
    openid: String,
    /// Templates whose messages the player rejects from now on.
    rejected: Vec<String>,
}

/// Rejects templates in a player's settings, and returns once the push was answered.
async fn settings(State(vpay): Platform, Strict(request): Strict<SettingsRequest>) -> Json<Value> {
    let list = {
        let mut state = vpay.world.state();
        let subscriptions = &mut state.platform.subscriptions;
        let reject = |template: &String| {
            subscriptions.reject_in_settings(&request.openid, template);
            json!({"TemplateId": template, "SubscribeStatusString": "reject"})
        };
        request.rejected.iter().map(reject).collect()
    };
    push(&vpay, "subscribe_msg_change_event", &request.openid, list).await;
    Json(json!({"rejected": request.rejected}))
}

async fn push(vpay: &Arc<Vpay>, event: &str, openid: &str, list: Vec<Value>) {
    let new = NewPush {
        event: event.to_owned(),
        sender: openid.to_owned(),
        content: Content::Fields(Map::from_iter([("List".to_owned(), list.into())])),
        ladder: Ladder::Other,
        answer: AnswerForm::Success,
        delivers: None,
        out_trade_no: None,
        gift: None,
    };
    push_delivery::send_first(vpay, new).await;
}
