//! Who asks, and whether they may: before any route, each request's rate limits are counted, its
//! token and session are looked at, and its signature is checked. Routes hear of it by the extractors
//! `Player` and `MaybePlayer`; a token that is not good is refused only by those who want one.
//!
//! The limits of the address and the session are asked for at the same time, then those of the player:
//! two round trips to Redis, none to the database. A player's limits are counted only for a session
//! that lives, or else whoever holds an old token could use them up.

use std::sync::Arc;

use crate::middleware::limits::{Counted, Limit, Verdict};
use crate::middleware::request_signature::{KEEP_NONCES, RequestSignature, SignedRequest};
use avalon_core::accounts::config::SignaturePolicy;
use avalon_core::accounts::sessions::{Session, SessionError};
use avalon_core::accounts::tokens::{Claims, TokenError};
use avalon_core::audit::{self, Actor, AuditEvent, AuditKind};
use avalon_core::base::problem::{Problem, ProblemCode};
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::future::{join, join_all};
use jiff::Timestamp;

use crate::http::extract::{bearer, read};
use crate::http::problem::ApiError;
use crate::middleware::client_address::ClientAddress;
use crate::state::ApiState;

/// WeChat's callbacks are believed by their signatures alone, and wait for nothing but the inbox.
const CALLBACKS: &str = "/api/wx/pay/";
/// Routes that make or renew sessions. They don't ask whose the token is, if there is one.
const SIGN_INS: [&str; 2] = ["/api/wx/login", "/api/wx/refreshToken"];
/// What ends a session should not prolong it.
const LOGOUT: &str = "/api/wx/logout";
/// The largest body that any route takes, unless the configuration allows more.
const MOST_SIGNED: usize = 1024 * 1024;

const TOKEN: HeaderName = HeaderName::from_static("x-avalon-token");
const TOKEN_EXPIRES: HeaderName = HeaderName::from_static("x-avalon-token-expires");

/// Who asks.
#[derive(Clone)]
pub(crate) enum Caller {
    /// Nobody says.
    Anonymous,
    /// Somebody who is not believed, or whose session can't be looked up.
    Refused(ApiError),
    /// A player with a live session.
    Player(Arc<Claims>),
}

pub(crate) async fn run(
    State(state): State<ApiState>,
    matched: Option<MatchedPath>,
    mut request: Request,
    next: Next,
) -> Response {
    let route = matched.as_ref().map_or("", MatchedPath::as_str);
    if route.starts_with(CALLBACKS) {
        return next.run(request).await;
    }
    let address = ClientAddress::of(&state, request.extensions(), request.headers());
    let claims = match SIGN_INS.contains(&route) {
        true => Ok(None),
        false => claims_of(&state, request.headers()),
    };
    let now = Timestamp::now();
    let session = async {
        match &claims {
            Ok(Some(claims)) => Some(state.sessions.live(claims.sub, claims.sid, now).await),
            _ => None,
        }
    };
    let counted = count(&state, of_address(address, route));
    let (mut verdicts, session) = join(counted, session).await;
    if let (Ok(Some(claims)), Some(Ok(_))) = (&claims, &session) {
        verdicts.extend(count(&state, of_player(claims, route)).await);
    }
    if let Some(refused) = verdicts.iter().find(|verdict| !verdict.allowed) {
        state.guard_metrics.limited(refused.limit);
        return tell_limits(ApiError(limited(refused)).into_response(), &verdicts);
    }
    let caller = match (claims, session) {
        (Ok(None), _) => Caller::Anonymous,
        (Err(code), _) => refuse(&state, code.into()),
        (Ok(Some(claims)), Some(Ok(session))) => {
            let verdict;
            (request, verdict) = match check_signature(&state, &session, request, now).await {
                Ok(checked) => checked,
                Err(unread) => return tell_limits(unread.into_response(), &verdicts),
            };
            if let Err(ApiError(problem)) = &verdict {
                audit_signature(&state, &claims, problem, address);
            }
            match verdict {
                Ok(()) => Caller::Player(Arc::new(claims)),
                Err(error) => refuse(&state, error),
            }
        }
        (Ok(Some(claims)), Some(Err(error))) => {
            refuse(&state, session_refused(&claims, &error).into())
        }
        (Ok(Some(_)), None) => refuse(&state, ProblemCode::Internal.into()),
    };
    let player = match &caller {
        Caller::Player(claims) => Some(Arc::clone(claims)),
        Caller::Anonymous | Caller::Refused(_) => None,
    };
    request.extensions_mut().insert(caller);
    let mut response = next.run(request).await;
    if let Some(claims) = player.filter(|_| route != LOGOUT) {
        offer_renewal(&state, &claims, now, &mut response);
    }
    tell_limits(response, &verdicts)
}

fn refuse(state: &ApiState, error: ApiError) -> Caller {
    state.guard_metrics.refused(error.0.code);
    Caller::Refused(error)
}

/// What the request's token says; `None`: it has none.
fn claims_of(state: &ApiState, headers: &HeaderMap) -> Result<Option<Claims>, ProblemCode> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let Some(first) = given.next() else {
        return Ok(None);
    };
    let token = first.to_str().ok().and_then(bearer);
    // Two of them: a proxy could have believed the other one.
    let token = token.filter(|_| given.next().is_none());
    let token = token.ok_or(ProblemCode::Unauthenticated)?;
    state.tokens.verify(token).map(Some).map_err(|error| {
        tracing::debug!(%error, "a token was refused");
        match error {
            TokenError::Expired => ProblemCode::TokenExpired,
            _ => ProblemCode::Unauthenticated,
        }
    })
}

fn session_refused(claims: &Claims, error: &SessionError) -> ProblemCode {
    match error {
        SessionError::Refused(refusal) => {
            tracing::debug!(%refusal, session_id = %claims.sid, "a session does not count");
        }
        error if error.is_transient() => tracing::warn!(%error, "a session can't be looked up"),
        error => tracing::error!(%error, session_id = %claims.sid, "a session can't be looked up"),
    }
    error.code()
}

/// A signature that was refused may be an attack; a body that was too large for it is not.
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
    audit::record_beside(&state.database, event);
}

fn of_address(ClientAddress(address): ClientAddress, route: &str) -> Vec<(Limit, Counted)> {
    let from = Counted::address(address);
    let mut counted = vec![(Limit::Address, from.clone())];
    if SIGN_INS.contains(&route) {
        counted.push((Limit::SignInAddress, from));
    }
    counted
}

fn of_player(claims: &Claims, route: &str) -> Vec<(Limit, Counted)> {
    let player = (Limit::Player, Counted::player(claims.sub));
    vec![
        player,
        (Limit::Route, Counted::player_on(claims.sub, route)),
    ]
}

/// Counts the request wherever it counts; at the same time, so that it takes as long as one.
async fn count(state: &ApiState, counted: Vec<(Limit, Counted)>) -> Vec<Verdict> {
    if !state.limits.is_on() {
        return Vec::new();
    }
    let taken = counted
        .iter()
        .map(|(limit, who)| state.limits.take(*limit, who));
    let verdicts = join_all(taken).await;
    if verdicts.iter().any(Option::is_none) {
        state.guard_metrics.uncounted();
    }
    verdicts.into_iter().flatten().collect()
}

/// Counts a request where only its body says whom it counts for.
pub(crate) async fn take(state: &ApiState, limit: Limit, who: Counted) -> Result<(), ApiError> {
    match state.limits.take(limit, &who).await {
        Some(verdict) if !verdict.allowed => {
            state.guard_metrics.limited(limit);
            Err(limited(&verdict).into())
        }
        _ => Ok(()),
    }
}

fn limited(verdict: &Verdict) -> Problem {
    Problem::new(ProblemCode::RateLimited).with_retry_after(verdict.retry_after)
}

/// Says where the limits stand, in the headers of draft-ietf-httpapi-ratelimit-headers: the policies,
/// and what is left of the one that is nearest to its end.
fn tell_limits(mut response: Response, verdicts: &[Verdict]) -> Response {
    let share = |verdict: &&Verdict| {
        u64::from(verdict.remaining) * 1_000_000 / u64::from(verdict.rate.quota.get())
    };
    let Some(nearest) = verdicts.iter().min_by_key(share) else {
        return response;
    };
    if response.status() == StatusCode::TOO_MANY_REQUESTS && nearest.allowed {
        // A limit that only the body could name was passed; these would say that all is well.
        return response;
    }
    let policies: Vec<String> = verdicts
        .iter()
        .map(|Verdict { limit, rate, .. }| {
            let window = rate.window.as_secs();
            format!("\"{}\";q={};w={window}", limit.as_str(), rate.quota)
        })
        .collect();
    let resets = nearest.reset.as_secs_f64().ceil();
    let left = format!(
        "\"{}\";r={};t={resets}",
        nearest.limit.as_str(),
        nearest.remaining
    );
    for (name, value) in [
        ("ratelimit-policy", policies.join(", ")),
        ("ratelimit", left),
    ] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// Checks the request's signature as the policy wants it, which takes the body; gives the request
/// back as it was, with the verdict.
///
/// # Errors
/// When the body can't be read: no route could either.
async fn check_signature(
    state: &ApiState,
    session: &Session,
    request: Request,
    now: Timestamp,
) -> Result<(Request, Result<(), ApiError>), ApiError> {
    let signed = request.headers().contains_key("x-avalon-signature");
    match state.signatures {
        SignaturePolicy::Off => return Ok((request, Ok(()))),
        SignaturePolicy::Optional if !signed => return Ok((request, Ok(()))),
        SignaturePolicy::Required if !signed => {
            return Ok((request, Err(ProblemCode::SignatureRequired.into())));
        }
        SignaturePolicy::Optional | SignaturePolicy::Required => {}
    }
    let (parts, body) = request.into_parts();
    let body = read(body, &parts.headers, state.max_body.max(MOST_SIGNED)).await?;
    let path_and_query = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let signed = SignedRequest {
        method: parts.method.as_str(),
        path_and_query,
        body: &body,
    };
    let verdict = verify(state, session, &parts.headers, signed, now).await;
    Ok((Request::from_parts(parts, Body::from(body)), verdict))
}

async fn verify(
    state: &ApiState,
    session: &Session,
    headers: &HeaderMap,
    signed: SignedRequest<'_>,
    now: Timestamp,
) -> Result<(), ApiError> {
    let signature = RequestSignature::read(
        only(headers, "x-avalon-timestamp"),
        only(headers, "x-avalon-nonce"),
        only(headers, "x-avalon-signature"),
        now,
    );
    let key = state.sessions.signing_key(session).map_err(unlooked)?;
    let verified = signature.and_then(|signature| {
        signature.verify(key.expose(), signed)?;
        Ok(signature)
    });
    let signature = verified.map_err(|error| {
        tracing::info!(%error, session_id = %session.id, "a request's signature was refused");
        Problem::new(error.code()).with_detail(sentence(&error.to_string()))
    })?;
    // Only now: nobody else may use the session's nonces up.
    let claimed = state
        .sessions
        .claim_nonce(session.id, signature.nonce(), KEEP_NONCES)
        .await;
    if !claimed.map_err(unlooked)? {
        tracing::warn!(session_id = %session.id, "a signed request was sent twice");
        return Err(ProblemCode::NonceReused.into());
    }
    Ok(())
}

fn unlooked(error: SessionError) -> ApiError {
    tracing::warn!(%error, "a signed request can't be checked");
    error.code().into()
}

/// A header that must not come twice.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(chars).chain(['.']).collect()
}

/// Offers a fresh token when the old one nears its end.
fn offer_renewal(state: &ApiState, claims: &Claims, now: Timestamp, response: &mut Response) {
    if !state.issuer.should_renew(claims, now) {
        return;
    }
    let token = match state
        .issuer
        .issue(claims.sub, claims.sid, &claims.open_id(), now)
    {
        Ok(token) => token,
        Err(error) => {
            tracing::error!(%error, "a token could not be renewed");
            return;
        }
    };
    let Ok(value) = HeaderValue::from_str(&token.token) else {
        return;
    };
    let expires = token.expires.as_millisecond();
    let headers = response.headers_mut();
    headers.insert(TOKEN, value);
    headers.insert(TOKEN_EXPIRES, HeaderValue::from(expires));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
}
