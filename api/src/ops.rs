//! The operators' listener: health, readiness and metrics; with the admin token, the admin routes and
//! the board. Never on the public port.

mod audit;
mod board;
mod boards;
mod coins;
mod erasures;
mod events;
mod export;
mod gifts;
mod guesses;
mod health;
mod invites;
mod jobs;
mod log;
mod messages;
mod metrics;
mod orders;
mod platform_stats;
mod products;
mod pushes;
mod scores;
mod shares;
mod time_parameter;
mod users;

use std::sync::Arc;
use std::time::Duration;

use avalon_core::accounts::sessions::Sessions;
use avalon_core::accounts::tokens::TokenVerifier;
use avalon_core::base::problem::ProblemCode;
use avalon_core::social::boards::Boards;
use avalon_core::social::invites::Invites;
use avalon_core::social::shares::Shares;
use avalon_core::storage::database::Database;
use avalon_queue::{Queue, RedisEndpoint};
use aws_lc_rs::{constant_time, digest};
use axum::Router;
use axum::extract::{FromRef, MatchedPath, Request, State};
use axum::http::header;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::app::complete;
use crate::http::extract::{BodyLimit, Peer, bearer};
use crate::http::headers;
use crate::http::problem::ApiError;
use crate::middleware::pipeline::{self, Pipeline};
use crate::routes::analytics::events::Events;
use crate::state::sub_states;

pub use guesses::Guesses;
pub use log::{LogHandle, LogLevelError};
pub use messages::MessageIntake;
pub use metrics::{BacklogCache, describe_process};

/// Number of statistics queries that a process runs concurrently.
pub const MAX_STATISTICS: usize = 2;

/// Time limit of a request; statistics of a year take a while.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(120);

/// What the operators' listener is built from. Cheap to clone.
#[derive(Clone)]
pub struct OpsState {
    /// The queue.
    pub queue: Queue,
    /// The database.
    pub database: Database,
    /// All metrics of the process.
    pub registry: prometheus::Registry,
    /// The Redis of the queue; `None`: embedded queue.
    pub redis: Option<RedisEndpoint>,
    /// Whether paid items are reported to a game server by webhook.
    pub tells_game: bool,
    /// Caches the backlog of the database.
    pub backlog: BacklogCache,
    /// Changes the log level.
    pub log: LogHandle,
    /// Players' sessions.
    pub sessions: Sessions,
    /// Scenes of shares.
    pub shares: Shares,
    /// Invitations.
    pub invites: Invites,
    /// Verifies players' tokens, for the game's other services.
    pub tokens: Arc<TokenVerifier>,
    /// Bearer token of the admin routes; `None`: every request is rejected.
    pub admin_token: Option<Arc<SecretString>>,
    /// Slows down guesses of the admin token.
    pub guesses: Guesses,
    /// Accepts subscribe messages of the game server.
    pub messages: MessageIntake,
    /// Ingests analytics events.
    pub events: Events,
    /// Leaderboards.
    pub boards: Boards,
    /// Limits statistics queries, which are expensive. They have database connections of their own.
    pub statistics: Arc<Semaphore>,
    /// Time in which an erasure of a player can be revoked.
    pub erase_delay: Duration,
    /// Phase of the process; it is ready only while [`Phase::Running`].
    pub phase: watch::Receiver<Phase>,
}

/// Maximum size of a JSON body, in bytes.
const MAX_BODY: usize = 64 * 1024;

sub_states! { OpsState as state =>
    Queue: state.queue.clone();
    Database: state.database.clone();
    LogHandle: state.log.clone();
    Sessions: state.sessions.clone();
    Shares: state.shares.clone();
    Invites: state.invites.clone();
    Arc<TokenVerifier>: Arc::clone(&state.tokens);
    Events: state.events.clone();
    Boards: state.boards.clone();
    Arc<Semaphore>: Arc::clone(&state.statistics);
    watch::Receiver<Phase>: state.phase.clone();
}

impl FromRef<OpsState> for BodyLimit {
    fn from_ref(_: &OpsState) -> Self {
        Self(MAX_BODY)
    }
}

/// The lifecycle of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Not all parts are running yet.
    Starting,
    /// All parts are running.
    Running,
    /// Finishes the work in progress and accepts no more.
    Stopping,
}

/// Builds the router of the operators' listener.
pub fn router(state: OpsState) -> Router {
    let admin = jobs::routes()
        .merge(products::routes())
        .merge(orders::routes())
        .merge(coins::routes())
        .merge(pushes::routes())
        .merge(gifts::routes())
        .merge(messages::routes())
        .merge(boards::routes())
        .merge(scores::routes())
        .merge(events::routes())
        .merge(shares::routes())
        .merge(invites::routes())
        .merge(log::routes())
        .merge(users::routes())
        .merge(erasures::routes())
        .merge(export::routes())
        .merge(audit::routes())
        .merge(platform_stats::routes())
        .route_layer(from_fn_with_state(state.clone(), require_admin));
    let router = Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(metrics::metrics))
        .merge(board::routes(&state))
        .merge(admin)
        .fallback(|| async { ApiError::from(ProblemCode::NotFound) });
    // Stopping, it serves until the process ends.
    let pipeline = Arc::new(Pipeline {
        request_timeout: REQUEST_TIMEOUT,
        metrics: None,
        draining: CancellationToken::new(),
    });
    // No CORS: pages of other origins must not call these routes.
    let headers = headers::security_headers();
    complete(router)
        .layer((headers, from_fn_with_state(pipeline, pipeline::run)))
        .with_state(state)
}

async fn require_admin(
    State(state): State<OpsState>,
    peer: Peer,
    request: Request,
    next: Next,
) -> Response {
    if !state.guesses.may_try(peer.0) {
        return ApiError::from(ProblemCode::RateLimited).into_response();
    }
    let given = authorization(&request);
    match (given.and_then(bearer), &state.admin_token) {
        (Some(given), Some(token)) if is_same(given, token.expose_secret()) => {
            next.run(request).await
        }
        _ => {
            let address = peer.0;
            audit::refused(&state.database, peer, request.method(), &route(&request)).await;
            state.guesses.wrong(address).await;
            ApiError::from(ProblemCode::Unauthenticated).into_response()
        }
    }
}

/// The template of the request's route.
fn route(request: &Request) -> String {
    let matched = request.extensions().get::<MatchedPath>();
    matched.map_or("unmatched", MatchedPath::as_str).to_owned()
}

fn authorization(request: &Request) -> Option<&str> {
    let value = request.headers().get(header::AUTHORIZATION)?;
    value.to_str().ok()
}

/// Compares in constant time, whatever the lengths.
fn is_same(given: &str, token: &str) -> bool {
    let digest = |text: &str| digest::digest(&digest::SHA256, text.as_bytes());
    constant_time::verify_slices_are_equal(digest(given).as_ref(), digest(token).as_ref()).is_ok()
}
