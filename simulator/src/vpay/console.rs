//! The console under `/_sim/vpay`: settings, keys, zones, products, the coin, players' coins, the clock.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Vpay;
use super::behaviour::Behaviour;
use super::state::Env;
use crate::control::{Strict, merge_settings};
use crate::pay::ControlError;
use crate::players::is_openid;

/// The state of every control route.
pub(crate) type Platform = State<Arc<Vpay>>;

/// Maximum advance of the clock at once: ten years.
const MAX_ADVANCE_SECONDS: u64 = 10 * 366 * 24 * 3600;

pub(crate) fn routes(vpay: &Arc<Vpay>) -> Router {
    Router::new()
        .route("/settings", get(settings).put(set_settings))
        .route("/keys", put(set_keys))
        .route("/zones", put(set_zones))
        .route("/products", get(products))
        .route(
            "/products/{product_id}",
            put(set_product).delete(remove_product),
        )
        .route("/coin", put(set_coin))
        .route("/players/{openid}/coins", get(coins).post(add_coins))
        .route("/players/{openid}/bills", get(bills))
        .route("/clock", get(clock))
        .route("/clock/advance", post(advance))
        .with_state(Arc::clone(vpay))
}

async fn settings(State(vpay): Platform) -> Json<Behaviour> {
    Json(vpay.world.state().vpay.behaviour.clone())
}

async fn set_settings(
    State(vpay): Platform,
    Strict(changes): Strict<Map<String, Value>>,
) -> Result<Json<Behaviour>, ControlError> {
    let mut state = vpay.world.state();
    let changed = merge_settings(&state.vpay.behaviour, changes)?;
    state.vpay.behaviour = changed.clone();
    Ok(Json(changed))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewKeys {
    app_key: Option<String>,
    sandbox_app_key: Option<String>,
}

/// Replaces AppKeys at once, as the console does.
async fn set_keys(State(vpay): Platform, Strict(new): Strict<NewKeys>) -> Json<Value> {
    let mut state = vpay.world.state();
    let keys = [new.app_key, new.sandbox_app_key];
    for (key, new) in state.vpay.app_keys.iter_mut().zip(keys) {
        if let Some(new) = new {
            *key = new;
        }
    }
    Json(json!({"appKeys": state.vpay.app_keys}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewZones {
    zones: BTreeSet<String>,
    env: Option<Env>,
}

async fn set_zones(State(vpay): Platform, Strict(new): Strict<NewZones>) -> Json<Value> {
    let mut state = vpay.world.state();
    for env in envs(new.env) {
        state.vpay.catalogue.of_mut(env).zones = new.zones.clone();
    }
    Json(state.vpay.catalogue.view())
}

async fn products(State(vpay): Platform) -> Json<Value> {
    Json(vpay.world.state().vpay.catalogue.view())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewProduct {
    /// Price of one piece in fen.
    price: i64,
    env: Option<Env>,
}

async fn set_product(
    State(vpay): Platform,
    Path(product_id): Path<String>,
    Strict(new): Strict<NewProduct>,
) -> Result<Json<Value>, ControlError> {
    if new.price < 1 {
        return Err(ControlError::bad_request("price must be positive"));
    }
    let mut state = vpay.world.state();
    for env in envs(new.env) {
        let products = &mut state.vpay.catalogue.of_mut(env).products;
        products.insert(product_id.clone(), new.price);
    }
    Ok(Json(state.vpay.catalogue.view()))
}

async fn remove_product(State(vpay): Platform, Path(product_id): Path<String>) -> Json<Value> {
    let mut state = vpay.world.state();
    for env in Env::ALL {
        state
            .vpay
            .catalogue
            .of_mut(env)
            .products
            .remove(&product_id);
    }
    Json(state.vpay.catalogue.view())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewCoin {
    /// Price of one coin in fen; null unpublishes the coin.
    price: Option<i64>,
    env: Option<Env>,
}

async fn set_coin(State(vpay): Platform, Strict(new): Strict<NewCoin>) -> Json<Value> {
    let mut state = vpay.world.state();
    for env in envs(new.env) {
        state.vpay.catalogue.of_mut(env).coin_price = new.price;
    }
    Json(state.vpay.catalogue.view())
}

async fn coins(State(vpay): Platform, Path(openid): Path<String>) -> Json<Value> {
    let mut state = vpay.world.state();
    let now = vpay.world.clock.time(state.now());
    state.vpay.ledgers.credit_due(now);
    Json(json!({"ledgers": state.vpay.ledgers.views(&openid)}))
}

/// Lists the numbers of a player's changes of coins that were applied.
async fn bills(State(vpay): Platform, Path(openid): Path<String>) -> Json<Value> {
    Json(json!({"bills": vpay.world.state().vpay.bills.views(&openid)}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewCoins {
    #[serde(default)]
    bought: u32,
    #[serde(default)]
    granted: u32,
    env: Option<Env>,
    zone: Option<String>,
}

/// Adds coins to a player, as if bought or granted.
async fn add_coins(
    State(vpay): Platform,
    Path(openid): Path<String>,
    Strict(new): Strict<NewCoins>,
) -> Result<Json<Value>, ControlError> {
    if !is_openid(&openid) {
        return Err(ControlError::bad_request("not a valid openid"));
    }
    let mut state = vpay.world.state();
    let env = new.env.unwrap_or(Env::Production);
    let zone = new.zone.as_deref().unwrap_or("1");
    let ledger = state.vpay.ledgers.of(&openid, env, zone);
    ledger.save(new.bought.into());
    ledger.present(new.granted.into());
    Ok(Json(json!({"ledgers": state.vpay.ledgers.views(&openid)})))
}

async fn clock(State(vpay): Platform) -> Json<Value> {
    let now = vpay.world.state().now();
    Json(json!({"now": vpay.world.clock.time(now), "platform": now}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    seconds: u64,
}

/// Advances the clock by which numbers are forgotten, coins credited and pushes repeated.
async fn advance(
    State(vpay): Platform,
    Strict(Advance { seconds }): Strict<Advance>,
) -> Result<Json<Value>, ControlError> {
    if seconds > MAX_ADVANCE_SECONDS {
        return Err(ControlError::bad_request(
            "seconds must be at most ten years",
        ));
    }
    vpay.world.clock.advance(Duration::from_secs(seconds));
    Ok(clock(State(vpay)).await)
}

/// Returns one environment, or both.
fn envs(env: Option<Env>) -> impl Iterator<Item = Env> {
    Env::ALL
        .into_iter()
        .filter(move |one| env.is_none_or(|env| env == *one))
}
