//! What public routes work with. Made once per process and passed to them by axum.

use std::sync::Arc;
use std::time::Duration;

use crate::middleware::limits::Limits;
use avalon_core::accounts::config::SignaturePolicy;
use avalon_core::accounts::sessions::Sessions;
use avalon_core::accounts::tokens::{TokenIssuer, TokenVerifier};
use avalon_core::payments::inbox::InboxWriter;
use avalon_core::storage::database::Database;
use avalon_queue::Queue;
use avalon_wechat::pay::PayClient;
use tokio_util::sync::CancellationToken;

use crate::middleware::client_address::TrustedProxies;
use crate::middleware::metrics::{GuardMetrics, HttpMetrics, PayMetrics};
use crate::routes::analytics::events::Events;

/// What public routes work with. Cheap to clone.
#[derive(Clone)]
pub struct ApiState {
    /// Enqueues jobs and reads their outcomes.
    pub queue: Queue,
    /// Goods, orders and what players own.
    pub database: Database,
    /// Knows WeChat Pay's keys; none: payments are not configured.
    pub pay: Option<PayClient>,
    /// Where payment callbacks go.
    pub inbox: InboxWriter,
    /// Verifies players' tokens.
    pub tokens: Arc<TokenVerifier>,
    /// How events are taken in.
    pub events: Events,
    /// Signs the tokens of renewed sessions.
    pub issuer: Arc<TokenIssuer>,
    /// Players' sessions.
    pub sessions: Sessions,
    /// Whether requests must be signed.
    pub signatures: SignaturePolicy,
    /// How much anybody may ask.
    pub limits: Limits,
    /// Who is believed about clients' addresses.
    pub proxies: Arc<TrustedProxies>,
    /// Counts requests.
    pub http_metrics: HttpMetrics,
    /// Counts whom the guard turned away.
    pub guard_metrics: GuardMetrics,
    /// Counts payment callbacks.
    pub pay_metrics: PayMetrics,
    /// How long a request is held for its job when it does not say.
    pub wait: Duration,
    /// How long it may ask to be held.
    pub max_wait: Duration,
    /// Most bytes of a body.
    pub max_body: usize,
    /// A request is answered within this.
    pub request_timeout: Duration,
    /// Cancelled when the process was told to stop: it still takes requests for a while, and asks
    /// clients to use their connections no more.
    pub draining: CancellationToken,
    /// Cancelled when it takes no more: streams end.
    pub stopping: CancellationToken,
}
