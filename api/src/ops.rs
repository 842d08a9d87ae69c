//! The listener for operators: health, readiness, metrics, and behind the admin token the admin routes
//! and the board. Never on the public port.

mod audit;
mod board;
mod events;
mod health;
mod jobs;
mod log;
mod metrics;
mod moment;
mod orders;
mod platform_stats;
mod products;
mod users;

use std::sync::Arc;

use avalon_core::accounts::sessions::Sessions;
use avalon_core::accounts::tokens::TokenVerifier;
use avalon_core::base::problem::ProblemCode;
use avalon_core::storage::database::Database;
use avalon_queue::{Queue, RedisEndpoint};
use aws_lc_rs::{constant_time, digest};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{Semaphore, watch};

use crate::http::extract::{BodyLimit, Peer, bearer};
use crate::http::headers;
use crate::http::problem::ApiError;
use crate::routes::analytics::events::Events;

pub use audit::AuditMetrics;
pub use log::{LogHandle, LogLevelError};
pub use metrics::{BacklogCache, describe_process};

/// So many questions about events at a time, in a process.
pub const STATISTICS_AT_ONCE: usize = 2;

/// What the listener for operators works with. Cheap to clone.
#[derive(Clone)]
pub struct OpsState {
    /// The queue.
    pub queue: Queue,
    /// The database.
    pub database: Database,
    /// All metrics of the process.
    pub registry: prometheus::Registry,
    /// The queue's Redis, when it has one.
    pub redis: Option<RedisEndpoint>,
    /// Whether a game server is told of paid goods.
    pub tells_game: bool,
    /// What waits in the database.
    pub backlog: BacklogCache,
    /// Changes the log level.
    pub log: LogHandle,
    /// Players' sessions.
    pub sessions: Sessions,
    /// Verifies players' tokens, for the game's other services.
    pub tokens: Arc<TokenVerifier>,
    /// Opens the admin routes; none: they stay shut.
    pub admin_token: Option<Arc<SecretString>>,
    /// How events are taken in.
    pub events: Events,
    /// Places for questions that keep the database busy; players need its connections too.
    pub statistics: Arc<Semaphore>,
    /// Where the process is in its life: only in the middle of it is it ready.
    pub phase: watch::Receiver<Phase>,
}

impl BodyLimit for OpsState {
    fn max_body(&self) -> usize {
        64 * 1024
    }
}

/// The life of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Its parts are not all there yet.
    Starting,
    /// It does its work.
    Running,
    /// It finishes what it has begun and takes nothing new.
    Stopping,
}

/// The router of the listener for operators.
pub fn router(state: OpsState) -> Router {
    let admin = jobs::routes()
        .merge(products::routes())
        .merge(orders::routes())
        .merge(events::routes())
        .merge(log::routes())
        .merge(users::routes())
        .merge(audit::routes())
        .merge(platform_stats::routes())
        .route_layer(from_fn_with_state(state.clone(), admin_only));
    let router = Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(metrics::metrics))
        .merge(board::routes(&state))
        .merge(admin)
        .fallback(|| async { ApiError::from(ProblemCode::NotFound) })
        .method_not_allowed_fallback(|| async { ApiError::from(ProblemCode::MethodNotAllowed) })
        .with_state(state);
    // Never for pages of other sites: there is no CORS here.
    headers::secure(router)
}

async fn admin_only(
    State(state): State<OpsState>,
    peer: Peer,
    request: Request,
    next: Next,
) -> Response {
    let given = authorization(&request);
    match (given.and_then(bearer), &state.admin_token) {
        (Some(given), Some(token)) if same(given, token.expose_secret()) => next.run(request).await,
        _ => {
            audit::refused(&state.database, peer, request.method(), request.uri()).await;
            ApiError::from(ProblemCode::Unauthenticated).into_response()
        }
    }
}

fn authorization(request: &Request) -> Option<&str> {
    let value = request.headers().get(header::AUTHORIZATION)?;
    value.to_str().ok()
}

/// Compares without telling by its time how much is right, the length included.
fn same(given: &str, token: &str) -> bool {
    let digest = |text: &str| digest::digest(&digest::SHA256, text.as_bytes());
    constant_time::verify_slices_are_equal(digest(given).as_ref(), digest(token).as_ref()).is_ok()
}
