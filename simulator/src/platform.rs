//! The APIs of the platform that need an access token, and the two that give one.
//!
//! Every API has a file of its own; [`door`] checks what is common to all requests, [`control`] is
//! what a test or an operator can do.

mod analysis;
mod control;
mod door;
mod fields;
mod game_analysis;
mod retain;
mod risk_rank;
mod sessions;
mod state;
mod text_check;
mod token_calls;
mod tokens;
mod trends;

use std::sync::Arc;

use axum::Router;

pub(crate) use control::routes as control_routes;
pub(crate) use state::PlatformState;

use crate::state::World;
use door::Api;

const APIS: [Api; 11] = [
    token_calls::TOKEN,
    token_calls::STABLE_TOKEN,
    sessions::CHECK,
    sessions::RESET,
    risk_rank::API,
    text_check::GENERAL,
    text_check::GAME,
    game_analysis::API,
    trends::SUMMARY,
    trends::VISITS,
    retain::API,
];

/// The names of the APIs in faults and in the list of requests.
pub(crate) fn api_names() -> impl Iterator<Item = &'static str> {
    APIS.into_iter().map(|api| api.name)
}

pub(crate) fn routes(world: &Arc<World>) -> Router {
    APIS.into_iter().fold(Router::new(), |routes, api| {
        routes.merge(door::route(world, api))
    })
}
