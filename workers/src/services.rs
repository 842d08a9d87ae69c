//! What handlers work with. Made once per process and passed to each of them.

use std::sync::Arc;
use std::time::Duration;

use avalon_core::database::Database;
use avalon_core::keyring::Keyring;
use avalon_core::sessions::Sessions;
use avalon_core::tokens::TokenIssuer;
use avalon_queue::{Enqueued, JobStore, NewJob, StoreError};
use avalon_wechat::pay::PayClient;
use avalon_wechat::{PlatformClient, WechatClient};

use crate::metrics::PayMetrics;
use crate::risk::Risk;
use crate::webhook::Webhook;

/// What handlers work with.
pub struct Services {
    /// Where players, orders and goods are.
    pub database: Database,
    /// Where jobs go that follow from a job.
    pub store: Arc<dyn JobStore>,
    /// Seals what must not be read at rest.
    pub keyring: Arc<Keyring>,
    /// Players' sessions.
    pub sessions: Sessions,
    /// WeChat's platform.
    pub wechat: WechatClient,
    /// WeChat's platform, where it asks for an access token.
    pub platform: PlatformClient,
    /// Which players may do things of worth.
    pub risk: Risk,
    /// WeChat Pay, when it is configured.
    pub pay: Option<Payments>,
    /// Where the game server hears of paid goods, when it wants to.
    pub webhook: Option<Webhook>,
    /// Counts orders and callbacks.
    pub metrics: PayMetrics,
    /// Signs tokens.
    pub tokens: Arc<TokenIssuer>,
    /// How long events of the audit log are kept.
    pub audit_retention: Duration,
}

/// WeChat Pay and the rules of its orders.
pub struct Payments {
    /// The client.
    pub client: PayClient,
    /// An unpaid order is closed after this.
    pub order_ttl: Duration,
    /// WeChat is first asked whether an order was paid after this.
    pub reconcile_after: Duration,
    /// Whether a payment that comes after the order was closed is paid back, not kept.
    pub refund_late_payments: bool,
}

impl Services {
    /// Enqueues a job that follows from this one; `false` when its idempotency key found it there
    /// already.
    pub(crate) async fn enqueue(&self, job: NewJob) -> Result<bool, StoreError> {
        let enqueued = self.store.enqueue(vec![job]).await?;
        Ok(matches!(enqueued.first(), Some(Enqueued::New(_))))
    }
}
