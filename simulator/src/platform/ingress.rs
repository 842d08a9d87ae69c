//! Ingress of the platform APIs: the checks of method, access token, per-minute quota and body.
//!
//! WeChat does not document the order of these checks; this one matches observed behaviour.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, State as AxumState};
use axum::http::Method;
use axum::middleware::from_fn_with_state;
use axum::routing::any;
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::fields::Fields;
use crate::faults;
use crate::requests::{self, Endpoint};
use crate::state::{State, World};
use crate::wire::{Answer, errcode};

/// A platform API.
#[derive(Clone, Copy)]
pub(crate) struct Api {
    /// The name used by faults and the request log.
    pub(crate) name: &'static str,
    pub(crate) path: &'static str,
    pub(crate) method: Verb,
    /// Whether calls require a valid access token.
    pub(crate) requires_token: bool,
    /// Returns the fields of a success, or the errcode.
    pub(crate) run: Run,
}

type Run = fn(&World, &mut State, &Call<'_>) -> Result<Value, i64>;

/// The only method that an API accepts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Get,
    Post,
}

/// A request that passed the checks.
pub(crate) struct Call<'a> {
    pub(crate) now: Timestamp,
    query: &'a BTreeMap<String, String>,
    /// Empty for a GET.
    pub(crate) body: Fields<'a>,
    /// The body as sent, which signatures are made over.
    pub(crate) raw: &'a [u8],
}

impl Call<'_> {
    /// Returns a query parameter unless it is missing or empty.
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.query
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }
}

pub(crate) fn route(world: &Arc<World>, api: Api) -> Router {
    let endpoint = Endpoint {
        world: Arc::clone(world),
        api: api.name,
    };
    Router::new()
        .route(api.path, any(answer))
        .route_layer(from_fn_with_state(endpoint.clone(), faults::apply))
        .route_layer(from_fn_with_state(endpoint, requests::record_and_render))
        .with_state((Arc::clone(world), api))
}

async fn answer(
    AxumState((world, api)): AxumState<(Arc<World>, Api)>,
    method: Method,
    Query(query): Query<BTreeMap<String, String>>,
    body: Bytes,
) -> Answer {
    match run(&world, api, &method, &query, &body) {
        Ok(fields) => Answer::Success(fields),
        Err(errcode) => Answer::Error(errcode),
    }
}

fn run(
    world: &World,
    api: Api,
    method: &Method,
    query: &BTreeMap<String, String>,
    body: &Bytes,
) -> Result<Value, i64> {
    match api.method {
        Verb::Get if *method != Method::GET => return Err(errcode::NEEDS_GET),
        Verb::Post if *method != Method::POST => return Err(errcode::NEEDS_POST),
        Verb::Get | Verb::Post => {}
    }
    let mut state = world.state();
    let now = state.now();
    if api.requires_token {
        let token = query.get("access_token").map(String::as_str);
        state
            .platform
            .tokens
            .check(token.unwrap_or_default(), now)?;
    }
    let limit = state.behaviour.quota_per_minute;
    if !state.quotas.try_acquire(api.name, limit, now) {
        return Err(errcode::MINUTE_QUOTA);
    }
    let fields = match api.method {
        Verb::Get => Map::new(),
        Verb::Post if body.is_empty() => return Err(errcode::EMPTY_BODY),
        Verb::Post => serde_json::from_slice(body).map_err(|_| errcode::NOT_JSON)?,
    };
    let call = Call {
        now,
        query,
        body: Fields(&fields),
        raw: match api.method {
            Verb::Get => &[],
            Verb::Post => body,
        },
    };
    (api.run)(world, &mut state, &call)
}
