//! The guard in front of every router but that of callbacks: counts rate limits before any route runs
//! and, for players' routes, checks the token, its session and the signature. A rejected token is not an
//! error here but a [`Caller`]: only routes that extract a player respond with it.
//!
//! The limits of the address and the session are read concurrently, then those of the player: two round
//! trips to Redis, one if the session is cached, none to the database. A player's limits are counted only for a
//! live session; otherwise a holder of an old token could exhaust them.

mod signatures;

use std::sync::Arc;

use avalon_core::accounts::sessions::{LiveSession, SessionError};
use avalon_core::accounts::tokens::{Claims, TokenError};
use avalon_core::audit::{self, Actor, AuditEvent, AuditKind};
use avalon_core::base::problem::{Problem, ProblemCode};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::future::join;
use jiff::Timestamp;

use crate::http::extract::bearer;
use crate::http::problem::ApiError;
use crate::middleware::caller::Caller;
use crate::middleware::client_address::ClientAddress;
use crate::middleware::limits::{Counted, Limit, Verdict};
use crate::middleware::rate_limits::{RateLimits, with_headers};
use crate::state::{ApiState, App};

const TOKEN: HeaderName = HeaderName::from_static("x-avalon-token");
const TOKEN_EXPIRES: HeaderName = HeaderName::from_static("x-avalon-token-expires");

/// What a router's guard checks.
#[derive(Clone, Copy)]
pub(crate) enum Policy {
    /// These limits of the address. A token is ignored.
    Address(&'static [Limit]),
    /// Limits of address, player and route; token, session and signature.
    Player {
        /// Whether the response renews a token that expires soon.
        renews: bool,
    },
}

impl Policy {
    /// Of documents and unknown paths.
    pub(crate) const DOCUMENTS: Self = Self::Address(&[Limit::Address]);
    /// Of routes that create or refresh sessions.
    pub(crate) const SIGN_IN: Self = Self::Address(&[Limit::Address, Limit::SignInAddress]);
    /// Of players' routes.
    pub(crate) const PLAYERS: Self = Self::Player { renews: true };
    /// Of routes that end sessions.
    pub(crate) const SIGN_OUT: Self = Self::Player { renews: false };
}

pub(crate) async fn run(
    State((app, policy)): State<(App, Policy)>,
    matched: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let renews = match policy {
        Policy::Address(limits) => return limit_address(&app, limits, request, next).await,
        Policy::Player { renews } => renews,
    };
    let now = Timestamp::now();
    let (response, player) = authenticate(&app, matched, request, next, now).await;
    match player.filter(|_| renews) {
        Some(claims) => renew(&app, &claims, now, response),
        None => response,
    }
}

/// Counts only limits of the address.
async fn limit_address(
    state: &ApiState,
    policy: &[Limit],
    request: Request,
    next: Next,
) -> Response {
    let limits = state.rate_limits();
    let address = address_of(state, &request);
    let counted = policy
        .iter()
        .map(|limit| (*limit, Counted::address(address.0)));
    let verdicts = limits.count(counted.collect()).await;
    match limits.rejection(&verdicts) {
        Some(rejection) => rejection,
        None => with_headers(next.run(request).await, &verdicts),
    }
}

/// Runs the route with its [`Caller`]; returns the response and the player, if authenticated.
async fn authenticate(
    state: &ApiState,
    matched: Option<MatchedPath>,
    mut request: Request,
    next: Next,
    now: Timestamp,
) -> (Response, Option<Arc<Claims>>) {
    let route = matched.as_ref().map_or("", MatchedPath::as_str);
    let address = address_of(state, &request);
    let claims = claims_of(state, request.headers());
    let limits = state.rate_limits();
    let player = claims.as_ref().ok().and_then(Option::as_deref);
    let (verdicts, session) = look_up(state, &limits, player, route, address, now).await;
    if let Some(rejection) = limits.rejection(&verdicts) {
        return (rejection, None);
    }
    let caller = match (claims, session) {
        (Ok(None), _) => Caller::Anonymous,
        (Err(code), _) => reject(state, code.into()),
        (Ok(Some(claims)), Some(Ok(session))) => {
            let verdict;
            (request, verdict) = match signatures::check(state, &session, request, now).await {
                Ok(checked) => checked,
                Err(unreadable) => {
                    return (with_headers(unreadable.into_response(), &verdicts), None);
                }
            };
            match verdict {
                Ok(()) => Caller::Player(claims),
                Err(error) => {
                    audit_signature(state, &claims, &error.0, address);
                    reject(state, error)
                }
            }
        }
        (Ok(Some(claims)), Some(Err(error))) => {
            reject(state, session_problem(&claims, &error).into())
        }
        (Ok(Some(_)), None) => reject(state, ProblemCode::Internal.into()),
    };
    let player = match &caller {
        Caller::Player(claims) => Some(Arc::clone(claims)),
        Caller::Anonymous | Caller::Rejected(_) => None,
    };
    request.extensions_mut().insert(caller);
    let response = next.run(request).await;
    (with_headers(response, &verdicts), player)
}

/// Counts the request, and looks the session of its token up.
async fn look_up(
    state: &ApiState,
    limits: &RateLimits,
    player: Option<&Claims>,
    route: &str,
    address: ClientAddress,
    now: Timestamp,
) -> (Vec<Verdict>, Option<Result<LiveSession, SessionError>>) {
    let of_address = (Limit::Address, Counted::address(address.0));
    let Some(claims) = player else {
        return (limits.count(vec![of_address]).await, None);
    };
    let of_player = [
        (Limit::Player, Counted::player(claims.sub)),
        (Limit::Route, Counted::player_on(claims.sub, route)),
    ];
    if let Some(session) = state.sessions.cached(claims.sub, claims.sid, now) {
        let counted = std::iter::once(of_address).chain(of_player);
        return (limits.count(counted.collect()).await, Some(Ok(session)));
    }
    let session = state.sessions.live(claims.sub, claims.sid, now);
    let (mut verdicts, session) = join(limits.count(vec![of_address]), session).await;
    if session.is_ok() {
        verdicts.extend(limits.count(of_player.into()).await);
    }
    (verdicts, Some(session))
}

fn address_of(state: &ApiState, request: &Request) -> ClientAddress {
    ClientAddress::of(&state.proxies, request.extensions(), request.headers())
}

fn reject(state: &ApiState, error: ApiError) -> Caller {
    state.guard_metrics.refused(error.0.code);
    Caller::Rejected(error)
}

/// The claims of the request's token; `None`: it has no token.
fn claims_of(state: &ApiState, headers: &HeaderMap) -> Result<Option<Arc<Claims>>, ProblemCode> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(first) = values.next() else {
        return Ok(None);
    };
    let token = first.to_str().ok().and_then(bearer);
    // With two tokens, a proxy could have authenticated the other one.
    let token = token.filter(|_| values.next().is_none());
    let token = token.ok_or(ProblemCode::Unauthenticated)?;
    state.tokens.verify(token).map(Some).map_err(|error| {
        tracing::debug!(%error, "token rejected");
        match error {
            TokenError::Expired => ProblemCode::TokenExpired,
            _ => ProblemCode::Unauthenticated,
        }
    })
}

/// Records a rejected signature, which may be an attack; a body that is too large is none.
fn audit_signature(
    state: &ApiState,
    claims: &Claims,
    problem: &Problem,
    ClientAddress(address): ClientAddress,
) {
    let kind = match problem.code {
        ProblemCode::SignatureRequired
        | ProblemCode::SignatureInvalid
        | ProblemCode::SignatureStale => AuditKind::SignatureRefused,
        ProblemCode::NonceReused => AuditKind::NonceReplayed,
        _ => return,
    };
    let event = AuditEvent::new(kind, Actor::Player)
        .user(claims.sub)
        .session(claims.sid)
        .address(address)
        .with("code", problem.code.to_string());
    audit::record_in_background(&state.database, event);
}

/// Adds a new token to the response when the current one expires soon.
fn renew(state: &ApiState, claims: &Claims, now: Timestamp, mut response: Response) -> Response {
    if !state.issuer.should_renew(claims, now) {
        return response;
    }
    let token = match state.issuer.renew(claims, now) {
        Ok(token) => token,
        Err(error) => {
            tracing::error!(%error, "token could not be renewed");
            return response;
        }
    };
    let Ok(value) = HeaderValue::from_str(&token.token) else {
        return response;
    };
    let expires = token.expires.as_millisecond();
    let headers = response.headers_mut();
    headers.insert(TOKEN, value);
    headers.insert(TOKEN_EXPIRES, HeaderValue::from(expires));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn session_problem(claims: &Claims, error: &SessionError) -> ProblemCode {
    match error {
        SessionError::Refused(refusal) => {
            tracing::debug!(%refusal, session_id = %claims.sid, "session rejected");
        }
        error if error.is_transient() => tracing::warn!(%error, "session lookup failed"),
        error => tracing::error!(%error, session_id = %claims.sid, "session lookup failed"),
    }
    error.code()
}
