//! Ingress of the five calls: method, access token, quota, the common parameters, both signatures.
//!
//! The real order of the checks is unconfirmed. Types come first, since `env` selects the AppKey.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, State as AxumState};
use axum::http::Method;
use axum::middleware::from_fn_with_state;
use axum::routing::any;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::Vpay;
use super::fields::Fields;
use super::signatures::{hmac_hex, pay_sig};
use super::state::{Env, VpayState};
use crate::faults;
use crate::players::{is_openid, session_key};
use crate::requests::{self, Endpoint};
use crate::state::State;
use crate::wire::{Answer, errcode};

/// One of the five calls.
#[derive(Clone, Copy)]
pub(crate) struct Call {
    /// The name used by faults and the request log.
    pub(crate) name: &'static str,
    pub(crate) path: &'static str,
    /// Returns the fields of a success.
    pub(crate) run: fn(&mut VpayState, &Request<'_>) -> Result<Value, Refusal>,
}

/// A call that passed the checks.
pub(crate) struct Request<'a> {
    pub(crate) openid: &'a str,
    pub(crate) env: Env,
    pub(crate) zone: &'a str,
    pub(crate) body: Fields<'a>,
    /// The time of the clock that can be advanced.
    pub(crate) now: Timestamp,
}

/// Why a call is refused.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) code: i64,
    message: String,
}

impl Refusal {
    pub(crate) fn new(code: i64, message: &str) -> Self {
        let message = message.to_owned();
        Self { code, message }
    }

    /// A wrong parameter, in WeChat's words: `[openid] openid is invalid`.
    pub(crate) fn parameter(name: &str, problem: &str) -> Self {
        Self::new(
            errcode::VPAY_PARAMETER,
            &format!("[{name}] {name} {problem}"),
        )
    }
}

impl From<i64> for Refusal {
    fn from(code: i64) -> Self {
        Self::new(code, "")
    }
}

pub(crate) fn route(vpay: &Arc<Vpay>, call: Call) -> Router {
    let endpoint = Endpoint {
        world: Arc::clone(&vpay.world),
        api: call.name,
    };
    Router::new()
        .route(call.path, any(answer))
        .route_layer(from_fn_with_state(endpoint.clone(), faults::apply))
        .route_layer(from_fn_with_state(endpoint, requests::record_and_render))
        .with_state((Arc::clone(vpay), call))
}

async fn answer(
    AxumState((vpay, call)): AxumState<(Arc<Vpay>, Call)>,
    method: Method,
    Query(query): Query<BTreeMap<String, String>>,
    body: Bytes,
) -> Answer {
    match run(&vpay, call, &method, &query, &body) {
        Ok(fields) => Answer::Success(fields),
        Err(Refusal { code, message }) if message.is_empty() => Answer::Error(code),
        // Like WeChat, echoes the request: errors of these calls hold ids of players.
        Err(Refusal { code, message }) => {
            let text = String::from_utf8_lossy(&body);
            let message = format!("{message} body:{text} base64:{}", STANDARD.encode(&body));
            Answer::Diagnosis(code, message)
        }
    }
}

fn run(
    vpay: &Vpay,
    call: Call,
    method: &Method,
    query: &BTreeMap<String, String>,
    body: &Bytes,
) -> Result<Value, Refusal> {
    if *method != Method::POST {
        return Err(errcode::NEEDS_POST.into());
    }
    let mut state = vpay.world.state();
    let now = state.now();
    let parameter = |name: &str| query.get(name).map(String::as_str).unwrap_or_default();
    let tokens = &state.platform.tokens;
    tokens.check(parameter("access_token"), now)?;
    let limit = state.behaviour.quota_per_minute;
    if !state.quotas.try_acquire(call.name, limit, now) {
        return Err(errcode::MINUTE_QUOTA.into());
    }
    if body.is_empty() {
        return Err(errcode::EMPTY_BODY.into());
    }
    let fields: Map<String, Value> = serde_json::from_slice(body).map_err(|_| errcode::NOT_JSON)?;
    let fields = Fields(&fields);
    let (openid, env, zone) = common(&state, fields, now)?;
    if parameter("pay_sig") != pay_sig(state.vpay.app_key(env), call.path, body) {
        return Err(Refusal::new(errcode::VPAY_PAY_SIG, "pay_sig is wrong"));
    }
    if parameter("sig_method") != "hmac_sha256" {
        return Err(Refusal::parameter("sig_method", "is invalid"));
    }
    check_signature(&state, openid, parameter("signature"), body)?;
    let request = Request {
        openid,
        env,
        zone,
        body: fields,
        now: vpay.world.clock.time(now),
    };
    let catalogue = &state.vpay.catalogue;
    if !catalogue.has_zone(env, zone) {
        return Err(Refusal::parameter("zone_id", "is not published"));
    }
    state.vpay.ledgers.credit_due(request.now);
    (call.run)(&mut state.vpay, &request)
}

/// Checks the types of the common parameters.
fn common<'a>(
    state: &State,
    fields: Fields<'a>,
    now: Timestamp,
) -> Result<(&'a str, Env, &'a str), Refusal> {
    let openid = fields.text("openid")?;
    if !is_openid(openid) {
        return Err(Refusal::parameter("openid", "is invalid"));
    }
    if fields.text("offer_id")? != state.vpay.offer_id {
        return Err(Refusal::parameter("offer_id", "is invalid"));
    }
    let ts = fields.int("ts")?;
    let tolerance = state.vpay.behaviour.ts_tolerance_seconds;
    if tolerance.is_some_and(|max| now.as_second().abs_diff(ts) > u64::from(max)) {
        return Err(Refusal::parameter("ts", "is invalid"));
    }
    let zone = fields.text("zone_id")?;
    let env = Env::of(fields.int("env")?).ok_or(Refusal::parameter("env", "is invalid"))?;
    Ok((openid, env, zone))
}

/// Checks the login-state signature over the body.
fn check_signature(
    state: &State,
    openid: &str,
    signature: &str,
    body: &[u8],
) -> Result<(), Refusal> {
    match signed_by(state, openid, signature, body) {
        SignedBy::Current => Ok(()),
        SignedBy::Previous if state.vpay.behaviour.stale_key_is_expired => Err(Refusal::new(
            errcode::VPAY_KEY_EXPIRED,
            "session_key expired",
        )),
        SignedBy::Previous | SignedBy::Other => {
            Err(Refusal::new(errcode::VPAY_SIGNATURE, "signature is wrong"))
        }
    }
}

/// The session key that made a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SignedBy {
    Current,
    /// Any key of this player before the current one.
    Previous,
    /// Another key, or none because the player never signed in.
    Other,
}

pub(crate) fn signed_by(state: &State, openid: &str, signature: &str, message: &[u8]) -> SignedBy {
    let Some(player) = state.players.get(openid) else {
        return SignedBy::Other;
    };
    if hmac_hex(&player.session_key, message) == signature {
        return SignedBy::Current;
    }
    let is_previous = (0..player.generation)
        .rev()
        .take(100)
        .any(|generation| hmac_hex(&session_key(openid, generation), message) == signature);
    match is_previous {
        true => SignedBy::Previous,
        false => SignedBy::Other,
    }
}
