//! The control routes of friends, cloud storage and subscribe messages.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::state::pair;
use super::subscriptions::Answer;
use crate::control::{BadRequest, Strict};
use crate::players::{is_name, openid};
use crate::state::World;

pub(super) fn routes(world: &Arc<World>) -> Router {
    Router::new()
        .route("/friends", put(set_friends))
        .route("/players/{openid}/friends/storage", get(friends_storage))
        .route("/players/{openid}/storage", get(storage))
        .route("/players/{openid}/subscriptions", get(subscriptions))
        .route("/players/{openid}/subscriptions/panel", post(panel))
        .route("/players/{openid}/subscriptions/settings", put(settings))
        .route("/subscriptions", get(sent).put(set_busy))
        .with_state(Arc::clone(world))
}

type Platform = State<Arc<World>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FriendsRequest {
    /// Pairs of players' names.
    pairs: Vec<(String, String)>,
}

/// Replaces the friend graph.
async fn set_friends(
    State(world): Platform,
    Strict(FriendsRequest { pairs }): Strict<FriendsRequest>,
) -> Result<Json<Value>, BadRequest> {
    if !pairs
        .iter()
        .all(|(a, b)| is_name(a) && is_name(b) && a != b)
    {
        return Err(BadRequest(
            "pairs must be of two different players' names".to_owned(),
        ));
    }
    let id = |name: &str| openid(&world.settings.app_id, name);
    let friends = pairs.iter().map(|(a, b)| pair(id(a), id(b)));
    world.state().platform.friends = friends.collect();
    Ok(Json(json!({"pairs": pairs.len()})))
}

/// What `wx.getFriendCloudStorage` returns to the player's open data context: the player and those friends who have
/// data.
async fn friends_storage(State(world): Platform, Path(openid): Path<String>) -> Json<Value> {
    let state = world.state();
    let friends = &state.platform.friends;
    let is_shown =
        |other: &String| *other == openid || friends.contains(&pair(other.clone(), openid.clone()));
    Json(rows_of(&state, is_shown))
}

/// The hosted data of these players, without those who have none.
pub(super) fn rows_of(state: &crate::state::State, is_shown: impl Fn(&String) -> bool) -> Value {
    let list = |pairs: &BTreeMap<String, String>| -> Vec<Value> {
        pairs
            .iter()
            .map(|(key, value)| json!({"key": key, "value": value}))
            .collect()
    };
    let mut data: Vec<_> = (state.platform.storage.iter())
        .filter(|(other, pairs)| is_shown(other) && !pairs.is_empty())
        .map(|(other, pairs)| (other.clone(), list(pairs)))
        .collect();
    data.sort_by(|(a, _), (b, _)| a.cmp(b));
    let name = |openid: &str| state.players.get(openid).map(|player| player.name.clone());
    let data: Vec<Value> = data
        .into_iter()
        .map(|(openid, list)| {
            json!({"nickname": name(&openid), "openid": openid, "avatarUrl": "", "KVDataList": list})
        })
        .collect();
    json!({"data": data})
}

async fn storage(State(world): Platform, Path(openid): Path<String>) -> Json<Value> {
    Json(json!(
        world
            .state()
            .platform
            .storage
            .get(&openid)
            .cloned()
            .unwrap_or_default()
    ))
}

async fn subscriptions(State(world): Platform, Path(openid): Path<String>) -> Json<Value> {
    Json(world.state().platform.subscriptions.view(&openid))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PanelRequest {
    /// Answers by template, at most three.
    results: BTreeMap<String, Answer>,
}

/// Answers a panel of subscribe messages, without WeChat's push.
async fn panel(
    State(world): Platform,
    Path(openid): Path<String>,
    Strict(PanelRequest { results }): Strict<PanelRequest>,
) -> Result<Json<Value>, BadRequest> {
    if !(1..=3).contains(&results.len()) {
        return Err(BadRequest("a panel has one to three templates".to_owned()));
    }
    let mut state = world.state();
    for (template, answer) in &results {
        state
            .platform
            .subscriptions
            .answer(&openid, template, *answer);
    }
    Ok(Json(json!({"results": results})))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SettingsRequest {
    main_switch: Option<bool>,
    #[serde(default)]
    rejected: Vec<String>,
}

/// Changes a player's settings, without WeChat's push.
async fn settings(
    State(world): Platform,
    Path(openid): Path<String>,
    Strict(request): Strict<SettingsRequest>,
) -> Json<Value> {
    let mut state = world.state();
    let subscriptions = &mut state.platform.subscriptions;
    for template in &request.rejected {
        subscriptions.reject_in_settings(&openid, template);
    }
    if let Some(on) = request.main_switch {
        subscriptions.switch(&openid, on);
    }
    Json(subscriptions.view(&openid))
}

async fn sent(State(world): Platform) -> Json<Value> {
    let state = world.state();
    let subscriptions = &state.platform.subscriptions;
    Json(json!({"sent": subscriptions.sent(), "busyMs": subscriptions.busy_ms}))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct BusyRequest {
    busy_ms: u32,
}

/// Sets for how long a send makes another one to the same player concurrent.
async fn set_busy(State(world): Platform, Strict(request): Strict<BusyRequest>) -> Json<Value> {
    world.state().platform.subscriptions.busy_ms = request.busy_ms;
    Json(json!({"busyMs": request.busy_ms}))
}
