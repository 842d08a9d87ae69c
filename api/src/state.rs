//! The state of the public routes. `cli` composes an [`ApiState`] once per process; inside, it stands
//! behind one `Arc` ([`App`]), and each handler extracts only the parts that it uses.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use crate::middleware::limits::Limits;
use avalon_core::accounts::config::SignaturePolicy;
use avalon_core::accounts::sessions::Sessions;
use avalon_core::accounts::tokens::{TokenIssuer, TokenVerifier};
use avalon_core::payments::inbox::InboxWriter;
use avalon_core::payments::order_reader::OrderReader;
use avalon_core::social::boards::Boards;
use avalon_core::social::invites::Invites;
use avalon_core::social::messages::config::Templates;
use avalon_core::social::shares::Shares;
use avalon_core::storage::database::Database;
use avalon_queue::Queue;
use avalon_wechat::pay::CallbackReceiver;
use tokio_util::sync::CancellationToken;

use crate::http::admission::Admission;
use crate::http::extract::BodyLimit;
use crate::http::job_response::HoldSettings;
use crate::middleware::client_address::TrustedProxies;
use crate::middleware::metrics::{GuardMetrics, HttpMetrics, PayMetrics, PushMetrics};
use crate::middleware::rate_limits::RateLimits;
use crate::routes::analytics::events::Events;
use crate::routes::payments::shop::OpenChannels;
use crate::routes::platform::PushEndpoint;

/// What the public routes are built from.
pub struct ApiState {
    /// Enqueues jobs and reads their outcomes.
    pub queue: Queue,
    /// Users, orders and items.
    pub database: Database,
    /// Checks callbacks of WeChat Pay; `None`: payments are not configured.
    pub pay: Option<CallbackReceiver>,
    /// The payment channels that are configured.
    pub channels: OpenChannels,
    /// Reads orders.
    pub orders: OrderReader,
    /// Stores payment callbacks.
    pub inbox: InboxWriter,
    /// Receives WeChat's message push; `None`: it is not configured.
    pub pushes: Option<PushEndpoint>,
    /// Leaderboards.
    pub boards: Boards,
    /// Templates of subscribe messages.
    pub templates: Arc<Templates>,
    /// Verifies players' tokens.
    pub tokens: Arc<TokenVerifier>,
    /// Ingests analytics events.
    pub events: Events,
    /// Signs the tokens of refreshed sessions.
    pub issuer: Arc<TokenIssuer>,
    /// Players' sessions.
    pub sessions: Sessions,
    /// Issues and tracks shares.
    pub shares: Shares,
    /// Lists invitations.
    pub invites: Invites,
    /// Whether requests must be signed.
    pub signatures: SignaturePolicy,
    /// Refuses requests while their queues are too far behind.
    pub admission: Admission,
    /// Rate limits.
    pub limits: Limits,
    /// The proxies whose `X-Forwarded-For` is trusted.
    pub proxies: Arc<TrustedProxies>,
    /// Counts and times requests.
    pub http_metrics: HttpMetrics,
    /// Counts requests that the guard rejects.
    pub guard_metrics: GuardMetrics,
    /// Counts payment callbacks.
    pub pay_metrics: PayMetrics,
    /// Counts pushes of WeChat.
    pub push_metrics: PushMetrics,
    /// How long a request is held for its job by default.
    pub wait: Duration,
    /// How long a client may ask to be held.
    pub max_wait: Duration,
    /// Maximum size of a body, in bytes.
    pub max_body: usize,
    /// Time limit of a request.
    pub request_timeout: Duration,
    /// Cancelled when the process begins to stop: requests are still served, with
    /// `Connection: close`.
    pub draining: CancellationToken,
    /// Cancelled when the process accepts no more requests: streams end.
    pub stopping: CancellationToken,
}

impl ApiState {
    pub(crate) fn rate_limits(&self) -> RateLimits {
        RateLimits::new(self.limits.clone(), self.guard_metrics.clone())
    }
}

/// The state of the router: one `Arc`, since axum clones it for each request.
#[derive(Clone)]
pub(crate) struct App(Arc<ApiState>);

impl App {
    pub(crate) fn new(state: ApiState) -> Self {
        Self(Arc::new(state))
    }
}

/// For layers, which run for every request and borrow. Handlers extract parts.
impl Deref for App {
    type Target = ApiState;

    fn deref(&self) -> &ApiState {
        &self.0
    }
}

/// Cancelled when the process accepts no more requests.
#[derive(Clone)]
pub(crate) struct Stopping(pub(crate) CancellationToken);

/// Makes parts of the state extractable with `State<Part>`.
macro_rules! sub_states {
    ($whole:ty as $state:pat => $($part:ty: $value:expr;)*) => {
        $(impl axum::extract::FromRef<$whole> for $part {
            fn from_ref($state: &$whole) -> Self {
                $value
            }
        })*
    };
}
pub(crate) use sub_states;

sub_states! { App as App(state) =>
    Queue: state.queue.clone();
    Admission: state.admission.clone();
    Database: state.database.clone();
    Boards: state.boards.clone();
    SignaturePolicy: state.signatures;
    Option<CallbackReceiver>: state.pay.clone();
    OpenChannels: state.channels;
    OrderReader: state.orders.clone();
    InboxWriter: state.inbox.clone();
    Arc<Templates>: Arc::clone(&state.templates);
    Arc<TokenVerifier>: Arc::clone(&state.tokens);
    Arc<TokenIssuer>: Arc::clone(&state.issuer);
    Events: state.events.clone();
    Sessions: state.sessions.clone();
    Shares: state.shares.clone();
    Invites: state.invites.clone();
    RateLimits: state.rate_limits();
    Arc<TrustedProxies>: Arc::clone(&state.proxies);
    PayMetrics: state.pay_metrics.clone();
    Option<PushEndpoint>: state.pushes.clone();
    PushMetrics: state.push_metrics.clone();
    HoldSettings: HoldSettings { default: state.wait, max: state.max_wait };
    BodyLimit: BodyLimit(state.max_body);
    Stopping: Stopping(state.stopping.clone());
}
