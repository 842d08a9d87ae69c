//! The control routes of the platform's APIs: tokens, risk ranks, risky words and analysis figures.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::analysis::Analysis;
use super::cheats::Cheat;
use super::group_control;
use super::social_control;
use super::text_check::Word;
use crate::control::{BadRequest, Strict, merge_settings};
use crate::players::is_openid;
use crate::state::World;

pub(crate) fn routes(world: &Arc<World>) -> Router {
    Router::new()
        .route("/tokens", get(tokens))
        .route("/tokens/invalidate", post(invalidate))
        .route("/players/{openid}/risk", put(set_rank))
        .route("/words", put(set_words))
        .route("/cheats", put(set_cheats))
        .route("/analysis", put(set_analysis))
        .with_state(Arc::clone(world))
        .merge(social_control::routes(world))
        .merge(group_control::routes(world))
}

type Platform = State<Arc<World>>;

async fn tokens(State(world): Platform) -> Json<Value> {
    let state = world.state();
    let tokens = &state.platform.tokens;
    let [classic, stable] = tokens.views(state.now());
    Json(json!({
        "classic": classic,
        "stable": stable,
        "issued": tokens.count(),
        "forcedToday": tokens.forced_today(),
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InvalidateRequest {
    #[serde(default)]
    sticky: bool,
}

async fn invalidate(
    State(world): Platform,
    Strict(InvalidateRequest { sticky }): Strict<InvalidateRequest>,
) -> StatusCode {
    let mut state = world.state();
    let now = state.now();
    state.platform.tokens.invalidate(sticky, now);
    StatusCode::NO_CONTENT
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RankRequest {
    rank: u8,
}

async fn set_rank(
    State(world): Platform,
    Path(openid): Path<String>,
    Strict(RankRequest { rank }): Strict<RankRequest>,
) -> Result<Json<Value>, BadRequest> {
    if rank > 4 {
        return Err(BadRequest("rank must be from 0 to 4".to_owned()));
    }
    if !is_openid(&openid) {
        return Err(BadRequest("not a valid openid".to_owned()));
    }
    let answer = json!({"openid": openid, "rank": rank});
    world.state().platform.ranks.insert(openid, rank);
    Ok(Json(answer))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WordsRequest {
    words: Vec<Word>,
}

async fn set_words(
    State(world): Platform,
    Strict(WordsRequest { words }): Strict<WordsRequest>,
) -> Result<Json<Value>, BadRequest> {
    if words.iter().any(|word| word.word.is_empty()) {
        return Err(BadRequest("a word must not be empty".to_owned()));
    }
    let answer = json!({"words": words});
    world.state().platform.words = words;
    Ok(Json(answer))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CheatsRequest {
    cheats: Vec<Cheat>,
}

async fn set_cheats(
    State(world): Platform,
    Strict(CheatsRequest { cheats }): Strict<CheatsRequest>,
) -> Json<Value> {
    let answer = json!({"cheats": cheats});
    world.state().platform.cheats = cheats;
    Json(answer)
}

/// Absent fields do not change.
async fn set_analysis(
    State(world): Platform,
    Strict(changes): Strict<Map<String, Value>>,
) -> Result<Json<Analysis>, BadRequest> {
    let mut state = world.state();
    let analysis = merge_settings(&state.platform.analysis, changes)?;
    if !(0..=24).contains(&analysis.ready_hour) {
        return Err(BadRequest("readyHour must be from 0 to 24".to_owned()));
    }
    state.platform.analysis = analysis.clone();
    Ok(Json(analysis))
}
