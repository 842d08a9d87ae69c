//! Virtual payment 2.0 for one app: the five server calls with their ledgers, the client's payment sheet,
//! the console, and the pushes.
//!
//! Each call has a file of its own; [`ingress`] checks what is common to them. The sheet and the console are
//! control routes. All times in which WeChat remembers, credits or repeats something follow [`clock`], which
//! tests can advance; the times in signatures and pushes are those of the platform.

mod balance;
mod behaviour;
mod bills;
mod cancelpay;
mod clock;
mod console;
mod console_gifts;
mod console_orders;
mod console_pushes;
mod console_subscriptions;
mod credentials;
mod fields;
mod gift_breaker;
mod ingress;
mod ladder;
mod ledger;
mod orders;
mod payloads;
mod payment;
mod present;
mod products;
mod push_body;
mod push_delivery;
mod push_policy;
mod pushes;
mod query_order;
mod sheet;
mod sheet_checks;
mod sheet_device;
mod signatures;
mod spend;
mod state;

use std::sync::Arc;

use axum::Router;

pub(crate) use clock::Clock;
pub use credentials::{VirtualPaymentCredentials, VirtualPaymentSimulatorSettings};
pub(crate) use state::VpayState;

use crate::state::World;

/// The calls, by the names used by faults and the request log.
const CALLS: [ingress::Call; 5] = [
    balance::CALL,
    spend::CALL,
    cancelpay::CALL,
    present::CALL,
    query_order::CALL,
];

/// The shared state of the routes and tasks of virtual payment.
pub(crate) struct Vpay {
    world: Arc<World>,
    http: reqwest::Client,
}

/// Returns the API names used by faults and the request log.
pub(crate) fn api_names() -> impl Iterator<Item = &'static str> {
    CALLS.into_iter().map(|call| call.name)
}

/// Returns the calls and their control routes under `/_sim/vpay/`.
pub(crate) fn routes(world: &Arc<World>, settings: &VirtualPaymentSimulatorSettings) -> Router {
    let vpay = Arc::new(Vpay {
        world: Arc::clone(world),
        http: settings.http.clone(),
    });
    let control = Router::new()
        .merge(console::routes(&vpay))
        .merge(console_orders::routes(&vpay))
        .merge(console_pushes::routes(&vpay))
        .merge(console_gifts::routes(&vpay))
        .merge(console_subscriptions::routes(&vpay))
        .merge(sheet::routes(&vpay));
    CALLS
        .into_iter()
        .fold(Router::new(), |routes, call| {
            routes.merge(ingress::route(&vpay, call))
        })
        .nest("/_sim/vpay", control)
}
