//! The listener for operators: health, readiness, metrics, and the admin routes behind a bearer
//! token. Never on the public port.

mod audit;
mod health;
mod jobs;
mod moment;
mod orders;
mod platform_stats;
mod products;
mod users;

use std::sync::Arc;

use avalon_core::database::Database;
use avalon_core::problem::ProblemCode;
use avalon_core::sessions::Sessions;
use avalon_core::tokens::TokenVerifier;
use avalon_queue::{JobStore, QueueMetrics};
use aws_lc_rs::{constant_time, digest};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::watch;

use crate::extract::{BodyLimit, Peer, bearer};
use crate::problem::ApiError;

pub use audit::AuditMetrics;

/// What the listener for operators works with. Cheap to clone.
#[derive(Clone)]
pub struct OpsState {
    /// The queue.
    pub store: Arc<dyn JobStore>,
    /// The database.
    pub database: Database,
    /// All metrics of the process.
    pub registry: prometheus::Registry,
    /// Told how full the queues are before metrics are read.
    pub queue_metrics: QueueMetrics,
    /// Players' sessions.
    pub sessions: Sessions,
    /// Verifies players' tokens, for the game's other services.
    pub tokens: Arc<TokenVerifier>,
    /// Opens the admin routes; none: they stay shut.
    pub admin_token: Option<Arc<SecretString>>,
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
        .merge(users::routes())
        .merge(audit::routes())
        .merge(platform_stats::routes())
        .route_layer(from_fn_with_state(state.clone(), admin_only));
    Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .merge(admin)
        .fallback(|| async { ApiError::from(ProblemCode::NotFound) })
        .method_not_allowed_fallback(|| async { ApiError::from(ProblemCode::MethodNotAllowed) })
        .with_state(state)
}

async fn admin_only(
    State(state): State<OpsState>,
    peer: Peer,
    request: Request,
    next: Next,
) -> Response {
    let given = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    match (given.and_then(bearer), &state.admin_token) {
        (Some(given), Some(token)) if same(given, token.expose_secret()) => next.run(request).await,
        _ => {
            audit::refused(&state.database, peer, request.method(), request.uri()).await;
            ApiError::from(ProblemCode::Unauthenticated).into_response()
        }
    }
}

/// Compares without telling by its time how much is right, the length included.
fn same(given: &str, token: &str) -> bool {
    let digest = |text: &str| digest::digest(&digest::SHA256, text.as_bytes());
    constant_time::verify_slices_are_equal(digest(given).as_ref(), digest(token).as_ref()).is_ok()
}
