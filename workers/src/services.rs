//! What handlers work with. Made once per process and passed to each of them.

use std::sync::Arc;
use std::time::Duration;

use avalon_core::accounts::config::{CheckText, ProfileConfig};
use avalon_core::accounts::profiles::AvatarHosts;
use avalon_core::accounts::sessions::Sessions;
use avalon_core::accounts::tokens::TokenIssuer;
use avalon_core::payments::orders::HoldRules;
use avalon_core::storage::database::Database;
use avalon_core::storage::keyring::Keyring;
use avalon_queue::{Enqueued, JobError, NewJob, Queue};
use avalon_wechat::{AppId, PlatformClient, WechatClient};

use crate::accounts::metrics::ProfileMetrics;
use crate::accounts::risk::Risk;
use crate::analytics::Analytics;
use crate::job_errors;
use crate::metrics::PayMetrics;
use crate::payments::channels::Channels;
use crate::payments::webhook::Webhook;

/// What handlers work with.
pub struct Services {
    /// Where players, orders and goods are.
    pub database: Database,
    /// Enqueues follow-up jobs.
    pub queue: Queue,
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
    /// The payment channels, when one is configured.
    pub pay: Option<Payments>,
    /// Where the game server hears of paid goods, when it wants to.
    pub webhook: Option<Webhook>,
    /// Counts orders and callbacks.
    pub metrics: PayMetrics,
    /// What is believed of what clients pass on.
    pub profiles: ProfileRules,
    /// Counts it.
    pub profile_metrics: ProfileMetrics,
    /// Where events go.
    pub analytics: Analytics,
    /// Signs tokens.
    pub tokens: Arc<TokenIssuer>,
    /// How long events of the audit log are kept.
    pub audit_retention: Duration,
}

/// The payment channels, and the rules of all orders.
pub struct Payments {
    /// The configured channels.
    pub channels: Channels,
    /// Bounds on unpaid orders.
    pub holds: HoldRules,
    /// Time until the channel is first queried for the payment.
    pub reconcile_after: Duration,
    /// Whether a payment that arrives after the order was closed is refunded, not granted.
    pub refund_late_payments: bool,
    /// Age at which processed callbacks and delivered webhooks are deleted.
    pub inbox_retention: Duration,
}

/// What is believed of what clients pass on.
pub struct ProfileRules {
    /// Our mini-game, which watermarks must name.
    pub app_id: AppId,
    /// A session key still opens data for this long after it was replaced.
    pub session_key_grace: Duration,
    /// How far a watermark's time may be from ours.
    pub watermark_window: Duration,
    /// Where pictures may be.
    pub avatar_hosts: AvatarHosts,
    /// What WeChat's content check of nicknames is used for.
    pub check_text: CheckText,
}

impl ProfileRules {
    /// The rules as configured, for this app.
    pub fn new(app_id: AppId, config: &ProfileConfig) -> Self {
        let hosts = config.avatar_hosts.iter().map(ToString::to_string);
        Self {
            app_id,
            session_key_grace: config.session_key_grace,
            watermark_window: config.watermark_window,
            avatar_hosts: AvatarHosts::new(hosts),
            check_text: config.check_text,
        }
    }
}

impl Services {
    /// Enqueues a follow-up job as a further step of the current trace. Returns `false` when its
    /// idempotency key found it there already.
    pub(crate) async fn enqueue(&self, job: impl Into<NewJob>) -> Result<bool, JobError> {
        match self.queue.enqueue(job).await {
            Ok(enqueued) => Ok(matches!(enqueued, Enqueued::New(_))),
            Err(error) => Err(job_errors::queue(error)),
        }
    }
}
