//! What public routes work with. Made once per process and passed to them by axum.

use std::sync::Arc;
use std::time::Duration;

use avalon_core::database::Database;
use avalon_core::payments::inbox::InboxWriter;
use avalon_core::tokens::TokenVerifier;
use avalon_queue::{JobStore, QueueMetrics};
use avalon_wechat::pay::PayClient;
use tokio_util::sync::CancellationToken;

use crate::events::Events;
use crate::metrics::{HttpMetrics, PayMetrics};

/// What public routes work with. Cheap to clone.
#[derive(Clone)]
pub struct ApiState {
    /// Where jobs go.
    pub store: Arc<dyn JobStore>,
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
    /// Counts jobs.
    pub queue_metrics: QueueMetrics,
    /// Counts requests.
    pub http_metrics: HttpMetrics,
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
    /// Cancelled when the process stops: streams end.
    pub stopping: CancellationToken,
}
