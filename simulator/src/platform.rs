//! The platform APIs that require an access token, and the two that issue one.
//!
//! Each API has a file of its own; [`ingress`] checks what is common to all requests, [`control`]
//! holds the control routes.

mod analysis;
mod cheats;
mod control;
mod fields;
mod game_analysis;
mod group_control;
mod groups;
mod ingress;
mod retention;
mod risk_rank;
mod sessions;
mod social_control;
mod state;
mod storage_limits;
mod subscribe;
mod subscriptions;
mod text_check;
mod token_calls;
mod tokens;
mod trends;
mod user_storage;

use std::sync::Arc;

use axum::Router;

pub(crate) use control::routes as control_routes;
pub(crate) use state::PlatformState;
pub(crate) use subscriptions::Answer as PanelAnswer;

use crate::state::World;
use ingress::Api;

const APIS: [Api; 15] = [
    token_calls::TOKEN,
    token_calls::STABLE_TOKEN,
    sessions::CHECK,
    sessions::RESET,
    risk_rank::API,
    cheats::API,
    text_check::GENERAL,
    text_check::GAME,
    game_analysis::API,
    trends::SUMMARY,
    trends::VISITS,
    retention::API,
    subscribe::API,
    user_storage::SET,
    user_storage::REMOVE,
];

/// Returns the API names used by faults and the request log.
pub(crate) fn api_names() -> impl Iterator<Item = &'static str> {
    APIS.into_iter().map(|api| api.name)
}

pub(crate) fn routes(world: &Arc<World>) -> Router {
    APIS.into_iter().fold(Router::new(), |routes, api| {
        routes.merge(ingress::route(world, api))
    })
}
