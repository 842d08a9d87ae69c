//! The control routes of the platform's APIs: tokens, risk ranks, words, the figures of days.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::analysis::Analysis;
use super::text_check::Word;
use crate::control::{Refusal, Strict, merged};
use crate::players::is_openid;
use crate::state::World;

pub(crate) fn routes(world: &Arc<World>) -> Router {
    Router::new()
        .route("/tokens", get(tokens))
        .route("/tokens/invalidate", post(invalidate))
        .route("/players/{openid}/risk", put(set_rank))
        .route("/words", put(set_words))
        .route("/analysis", put(set_analysis))
        .with_state(Arc::clone(world))
}

type Platform = State<Arc<World>>;

async fn tokens(State(world): Platform) -> Json<Value> {
    let state = world.state();
    let tokens = &state.platform.tokens;
    let [classic, stable] = tokens.shown(state.now());
    Json(json!({
        "classic": classic,
        "stable": stable,
        "issued": tokens.count(),
        "forcedToday": tokens.forced_today(),
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Invalidate {
    #[serde(default)]
    sticky: bool,
}

async fn invalidate(
    State(world): Platform,
    Strict(Invalidate { sticky }): Strict<Invalidate>,
) -> StatusCode {
    let mut state = world.state();
    let now = state.now();
    state.platform.tokens.invalidate(sticky, now);
    StatusCode::NO_CONTENT
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rank {
    rank: u8,
}

async fn set_rank(
    State(world): Platform,
    Path(openid): Path<String>,
    Strict(Rank { rank }): Strict<Rank>,
) -> Result<Json<Value>, Refusal> {
    if rank > 4 {
        return Err(Refusal("rank is from 0 to 4".to_owned()));
    }
    if !is_openid(&openid) {
        return Err(Refusal("that is no openid".to_owned()));
    }
    let answer = json!({"openid": openid, "rank": rank});
    world.state().platform.ranks.insert(openid, rank);
    Ok(Json(answer))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Words {
    words: Vec<Word>,
}

async fn set_words(
    State(world): Platform,
    Strict(Words { words }): Strict<Words>,
) -> Result<Json<Value>, Refusal> {
    if words.iter().any(|word| word.word.is_empty()) {
        return Err(Refusal("a word is not empty".to_owned()));
    }
    let answer = json!({"words": words});
    world.state().platform.words = words;
    Ok(Json(answer))
}

/// Only what is given changes.
async fn set_analysis(
    State(world): Platform,
    Strict(given): Strict<Map<String, Value>>,
) -> Result<Json<Analysis>, Refusal> {
    let mut state = world.state();
    let analysis = merged(&state.platform.analysis, given)?;
    if !(0..=24).contains(&analysis.ready_hour) {
        return Err(Refusal("readyHour is from 0 to 24".to_owned()));
    }
    state.platform.analysis = analysis.clone();
    Ok(Json(analysis))
}
