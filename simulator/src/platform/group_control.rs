//! The control routes of groups: members, cards, and what a client gets when a member opens a card.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::social_control::rows_of;
use crate::client_data;
use crate::control::{BadRequest, Strict};
use crate::players::{is_name, openid};
use crate::state::World;

/// WeChat's scene of a launch by a card with a share ticket.
const SCENE: u32 = 1044;

pub(super) fn routes(world: &Arc<World>) -> Router {
    Router::new()
        .route("/groups", get(list))
        .route("/groups/{group}", put(set_members))
        .route("/groups/{group}/cards", post(send_card))
        .route("/groups/{group}/cards/{card}/open", post(open_card))
        .route("/players/{openid}/groups/{group}/storage", get(storage))
        .with_state(Arc::clone(world))
}

type Platform = State<Arc<World>>;

async fn list(State(world): Platform) -> Json<Value> {
    Json(json!({"groups": world.state().platform.groups.all()}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MembersRequest {
    /// Names of players, who need not have signed in.
    members: Vec<String>,
}

/// Creates a group, or replaces its members.
async fn set_members(
    State(world): Platform,
    Path(group): Path<String>,
    Strict(MembersRequest { members }): Strict<MembersRequest>,
) -> Result<Json<Value>, BadRequest> {
    if !is_name(&group) || !members.iter().all(|name| is_name(name)) {
        return Err(BadRequest(
            "names must have 1 to 64 ASCII letters, digits, `_`, `.` and `-`".to_owned(),
        ));
    }
    let app_id = &world.settings.app_id;
    let members: BTreeSet<String> = members.iter().map(|name| openid(app_id, name)).collect();
    let mut state = world.state();
    Ok(Json(json!(
        state.platform.groups.put(app_id, &group, members)
    )))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CardRequest {
    /// Openid of the sender.
    from: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    query: String,
}

/// Sends a card, as a player does who chose the group after `wx.shareAppMessage`.
async fn send_card(
    State(world): Platform,
    Path(group): Path<String>,
    Strict(request): Strict<CardRequest>,
) -> Result<Json<Value>, BadRequest> {
    let CardRequest { from, title, query } = request;
    let mut state = world.state();
    let group = state.platform.groups.get_mut(&group);
    let group = group.ok_or_else(unknown_group)?;
    require_member(&group.members, &from)?;
    Ok(Json(json!(group.send(&from, title, query))))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OpenRequest {
    /// Openid of the member.
    openid: String,
}

/// Opens a card: what `wx.onShow` and `wx.getGroupEnterInfo` return.
async fn open_card(
    State(world): Platform,
    Path((group, card)): Path<(String, usize)>,
    Strict(OpenRequest { openid }): Strict<OpenRequest>,
) -> Result<Json<Value>, BadRequest> {
    let mut state = world.state();
    let now = state.now();
    let player = state.players.get(&openid).cloned();
    let player =
        player.ok_or_else(|| BadRequest("no player with this openid has signed in".to_owned()))?;
    let group = state.platform.groups.get_mut(&group);
    let group = group.ok_or_else(unknown_group)?;
    require_member(&group.members, &openid)?;
    let query = group.open(card, &openid);
    let query = query.ok_or_else(|| BadRequest("unknown card".to_owned()))?;
    let data = Map::from_iter([("openGId".to_owned(), json!(group.open_gid))]);
    let data = client_data::with_watermark(data, &world.settings.app_id, now);
    let sealed = client_data::seal(data, &player.session_key)?;
    Ok(Json(json!({
        "query": query,
        "scene": SCENE,
        "shareTicket": format!("{}-{card}", group.open_gid),
        "encryptedData": sealed["encryptedData"],
        "iv": sealed["iv"],
    })))
}

/// What `wx.getGroupCloudStorage` returns to a member's open data context.
async fn storage(
    State(world): Platform,
    Path((openid, group)): Path<(String, String)>,
) -> Result<Json<Value>, BadRequest> {
    let state = world.state();
    let group = state.platform.groups.get(&group);
    let members = &group.ok_or_else(unknown_group)?.members;
    require_member(members, &openid)?;
    Ok(Json(rows_of(&state, |other| members.contains(other))))
}

fn unknown_group() -> BadRequest {
    BadRequest("unknown group".to_owned())
}

fn require_member(members: &BTreeSet<String>, openid: &str) -> Result<(), BadRequest> {
    match members.contains(openid) {
        true => Ok(()),
        false => Err(BadRequest(
            "the player is no member of the group".to_owned(),
        )),
    }
}
