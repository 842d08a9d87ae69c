//! The guard in front of every router but that of callbacks: counts rate limits before any route runs
//! and, for players' routes, checks the token, its session and the signature. A rejected token is not an
//! error here but a [`Caller`]: only routes that extract a player respond with it.
//!
//! The limits of the address and the session are read concurrently, then those of the player: two round
//! trips to Redis, none to the database. A player's limits are counted only for a live session;
//! otherwise a holder of an old token could exhaust them.

pub(crate) mod rate_limits;
pub(crate) mod signatures;

use std::sync::Arc;

use avalon_core::accounts::sessions::{SessionError, Sessions};
use avalon_core::accounts::tokens::{Claims, TokenError, TokenIssuer, TokenVerifier};
use avalon_core::audit::{self, Actor, AuditEvent, AuditKind};
use avalon_core::base::problem::{Problem, ProblemCode};

use avalon_core::storage::database::Database;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::future::join;
use jiff::Timestamp;

use self::rate_limits::{RateLimits, with_headers};
use self::signatures::Signatures;
use crate::http::extract::bearer;
use crate::http::problem::ApiError;
use crate::middleware::caller::Caller;
use crate::middleware::client_address::{ClientAddress, TrustedProxies};
use crate::middleware::limits::{Counted, Limit, Verdict};
use crate::middleware::metrics::GuardMetrics;

const TOKEN: HeaderName = HeaderName::from_static("x-avalon-token");
const TOKEN_EXPIRES: HeaderName = HeaderName::from_static("x-avalon-token-expires");

/// What guards check requests with.
pub(crate) struct Guard {
    pub(crate) limits: RateLimits,
    pub(crate) tokens: Arc<TokenVerifier>,
    pub(crate) issuer: Arc<TokenIssuer>,
    pub(crate) sessions: Sessions,
    pub(crate) signatures: Signatures,
    pub(crate) proxies: Arc<TrustedProxies>,
    pub(crate) metrics: GuardMetrics,
    /// For audit events.
    pub(crate) database: Database,
}

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
    State((guard, policy)): State<(Arc<Guard>, Policy)>,
    matched: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let renews = match policy {
        Policy::Address(limits) => return guard.limit_address(limits, request, next).await,
        Policy::Player { renews } => renews,
    };
    let now = Timestamp::now();
    let (response, player) = guard.authenticate(matched, request, next, now).await;
    match player.filter(|_| renews) {
        Some(claims) => guard.renew(&claims, now, response),
        None => response,
    }
}

impl Guard {
    async fn limit_address(&self, limits: &[Limit], request: Request, next: Next) -> Response {
        let address = self.address_of(&request);
        let counted = limits
            .iter()
            .map(|limit| (*limit, Counted::address(address.0)));
        let verdicts = self.limits.count(counted.collect()).await;
        match self.limits.rejection(&verdicts) {
            Some(rejection) => rejection,
            None => with_headers(next.run(request).await, &verdicts),
        }
    }

    /// Runs the route with its [`Caller`]; returns the response and the player, if authenticated.
    async fn authenticate(
        &self,
        matched: Option<MatchedPath>,
        mut request: Request,
        next: Next,
        now: Timestamp,
    ) -> (Response, Option<Arc<Claims>>) {
        let route = matched.as_ref().map_or("", MatchedPath::as_str);
        let address = self.address_of(&request);
        let claims = self.claims_of(request.headers());
        let session = async {
            match &claims {
                Ok(Some(claims)) => Some(self.sessions.live(claims.sub, claims.sid, now).await),
                _ => None,
            }
        };
        let counted = vec![(Limit::Address, Counted::address(address.0))];
        let (mut verdicts, session) = join(self.limits.count(counted), session).await;
        if let (Ok(Some(claims)), Some(Ok(_))) = (&claims, &session) {
            verdicts.extend(self.count_player(claims, route).await);
        }
        if let Some(rejection) = self.limits.rejection(&verdicts) {
            return (rejection, None);
        }
        let caller = match (claims, session) {
            (Ok(None), _) => Caller::Anonymous,
            (Err(code), _) => self.reject(code.into()),
            (Ok(Some(claims)), Some(Ok(session))) => {
                let verdict;
                (request, verdict) = match self.signatures.check(&session, request, now).await {
                    Ok(checked) => checked,
                    Err(unreadable) => {
                        return (with_headers(unreadable.into_response(), &verdicts), None);
                    }
                };
                match verdict {
                    Ok(()) => Caller::Player(Arc::new(claims)),
                    Err(error) => {
                        self.audit_signature(&claims, &error.0, address);
                        self.reject(error)
                    }
                }
            }
            (Ok(Some(claims)), Some(Err(error))) => {
                self.reject(session_problem(&claims, &error).into())
            }
            (Ok(Some(_)), None) => self.reject(ProblemCode::Internal.into()),
        };
        let player = match &caller {
            Caller::Player(claims) => Some(Arc::clone(claims)),
            Caller::Anonymous | Caller::Rejected(_) => None,
        };
        request.extensions_mut().insert(caller);
        let response = next.run(request).await;
        (with_headers(response, &verdicts), player)
    }

    fn address_of(&self, request: &Request) -> ClientAddress {
        ClientAddress::of(&self.proxies, request.extensions(), request.headers())
    }

    async fn count_player(&self, claims: &Claims, route: &str) -> Vec<Verdict> {
        let player = (Limit::Player, Counted::player(claims.sub));
        let route = (Limit::Route, Counted::player_on(claims.sub, route));
        self.limits.count(vec![player, route]).await
    }

    fn reject(&self, error: ApiError) -> Caller {
        self.metrics.refused(error.0.code);
        Caller::Rejected(error)
    }

    /// The claims of the request's token; `None`: it has no token.
    fn claims_of(&self, headers: &HeaderMap) -> Result<Option<Claims>, ProblemCode> {
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let Some(first) = values.next() else {
            return Ok(None);
        };
        let token = first.to_str().ok().and_then(bearer);
        // With two tokens, a proxy could have authenticated the other one.
        let token = token.filter(|_| values.next().is_none());
        let token = token.ok_or(ProblemCode::Unauthenticated)?;
        self.tokens.verify(token).map(Some).map_err(|error| {
            tracing::debug!(%error, "token rejected");
            match error {
                TokenError::Expired => ProblemCode::TokenExpired,
                _ => ProblemCode::Unauthenticated,
            }
        })
    }

    /// Records a rejected signature, which may be an attack; a body that is too large is none.
    fn audit_signature(
        &self,
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
        audit::record_beside(&self.database, event);
    }

    /// Adds a new token to the response when the current one expires soon.
    fn renew(&self, claims: &Claims, now: Timestamp, mut response: Response) -> Response {
        if !self.issuer.should_renew(claims, now) {
            return response;
        }
        let issued = self
            .issuer
            .issue(claims.sub, claims.sid, &claims.open_id(), now);
        let token = match issued {
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
