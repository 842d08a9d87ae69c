//! What handlers work with. Created once per process and passed to each of them.

use std::sync::Arc;
use std::time::Duration;

use avalon_core::accounts::config::{CheckText, ProfileConfig};
use avalon_core::accounts::profiles::AvatarHosts;
use avalon_core::accounts::sessions::Sessions;
use avalon_core::accounts::sign_in::SignInWriter;
use avalon_core::accounts::tokens::TokenIssuer;
use avalon_core::payments::config::ChannelsConfig;
use avalon_core::payments::fulfilments::Webhooks;
use avalon_core::payments::inbox_reader::InboxReader;
use avalon_core::payments::orders::{HoldRules, OrderWriter, PaymentWriter};
use avalon_core::payments::{Channel, Platform};
use avalon_core::social::boards::Boards;
use avalon_core::social::invites::Invites;
use avalon_core::social::invites::attribution::Attribution;
use avalon_core::social::messages::config::MessagesConfig;
use avalon_core::social::shares::Shares;
use avalon_core::storage::database::Database;
use avalon_core::storage::keyring::Keyring;
use avalon_queue::{Enqueued, JobError, NewJob, Queue};
use avalon_wechat::virtual_payment::{AppKeys, VirtualPaymentClient};
use avalon_wechat::{AppId, MessageLanguage, MiniProgramState, PlatformClient, WechatClient};

use crate::accounts::metrics::ProfileMetrics;
use crate::accounts::risk::Risk;
use crate::analytics::Analytics;
use crate::job_errors;
use crate::payments::channels::Channels;
use crate::payments::metrics::PayMetrics;
use crate::payments::resume::AwaitedSignIns;
use crate::payments::webhook::Webhook;
use crate::social::hosted_sign_ins::HostedSignIns;
use crate::social::metrics::MessageMetrics;

/// What handlers work with.
pub struct Services {
    /// Players, orders and items.
    pub database: Database,
    /// Enqueues follow-up jobs.
    pub queue: Queue,
    /// Encrypts secrets at rest.
    pub keyring: Arc<Keyring>,
    /// Stores the players of sign-ins.
    pub players: SignInWriter,
    /// Players' sessions.
    pub sessions: Sessions,
    /// Leaderboards.
    pub boards: Boards,
    /// WeChat's APIs without an access token.
    pub wechat: WechatClient,
    /// WeChat's APIs with an access token.
    pub platform: PlatformClient,
    /// Checks whether a risky player may order.
    pub risk: Risk,
    /// The payment channels, if one is configured.
    pub pay: Option<Payments>,
    /// Reads payment callbacks.
    pub inbox: InboxReader,
    /// Verifies payment events that WeChat pushes.
    pub app_keys: AppKeys,
    /// Age at which processed pushes are deleted.
    pub push_retention: Duration,
    /// Notifies the game server of paid orders, if configured.
    pub webhook: Option<Webhook>,
    /// Counts orders and callbacks.
    pub metrics: PayMetrics,
    /// Rules of subscribe messages, with the metrics of social jobs.
    pub messages: MessageRules,
    /// Receives players who sign in, whose scores may wait for that.
    pub hosted: HostedSignIns,
    /// Rules for profiles and other client data.
    pub profiles: ProfileRules,
    /// Counts client data.
    pub profile_metrics: ProfileMetrics,
    /// Stores and forwards events.
    pub analytics: Analytics,
    /// Tracks shares.
    pub shares: Shares,
    /// Rewards invitations.
    pub invites: Invites,
    /// Reads what sign-ins say about invitations.
    pub attribution: Attribution,
    /// Signs tokens.
    pub tokens: Arc<TokenIssuer>,
    /// Retention of the audit log.
    pub audit_retention: Duration,
}

/// The payment channels, and the rules of all orders.
pub struct Payments {
    /// The configured channels.
    pub channels: Channels,
    /// Which platform pays through which channel.
    pub platforms: ChannelsConfig,
    /// Whether builds that are not released order in the sandbox.
    pub sandbox: bool,
    /// Whether orders of the sandbox grant items.
    pub sandbox_grants: bool,
    /// Time for which a player may not buy who had used what was refunded; none: no time.
    pub refund_block: Option<Duration>,
    /// Calls virtual payment for coins, if it is configured.
    pub coins: Option<VirtualPaymentClient>,
    /// Creates orders, and stores what is offered.
    pub orders: OrderWriter,
    /// Records payments that callbacks report.
    pub writer: PaymentWriter,
    /// Players who sign in, for whom something may wait.
    pub sign_ins: AwaitedSignIns,
    /// Bounds on unpaid orders.
    pub holds: HoldRules,
    /// Time until the channel is first queried for the payment.
    pub reconcile_after: Duration,
    /// Whether a payment that arrives after the order was closed is refunded, not granted.
    pub refund_late_payments: bool,
    /// Age at which processed callbacks and delivered webhooks are deleted.
    pub inbox_retention: Duration,
}

/// Rules of subscribe messages.
pub struct MessageRules {
    /// Maximum number of messages that a player receives in 24 hours.
    pub per_day: u32,
    /// A message that waits for longer is not sent any more.
    pub max_age: Duration,
    /// The version of the game that a tap opens.
    pub state: MiniProgramState,
    /// The language of the frame.
    pub language: MessageLanguage,
    /// Counts messages, gift packs and writes for the friends ranking.
    pub metrics: MessageMetrics,
}

impl MessageRules {
    /// Creates the rules from the configuration.
    pub fn new(config: &MessagesConfig, metrics: MessageMetrics) -> Self {
        Self {
            per_day: config.per_day,
            max_age: config.max_age,
            state: config.state,
            language: config.language,
            metrics,
        }
    }
}

impl Payments {
    /// Returns the channel of a platform.
    pub(crate) fn channel_of(&self, platform: Option<Platform>) -> Result<Channel, JobError> {
        let chosen = self.platforms.choose(platform, self.coins.is_some());
        self.channels.get(chosen).map(|_| chosen)
    }
}

/// Rules for data that clients submit on WeChat's behalf.
pub struct ProfileRules {
    /// Our app id, which watermarks must name.
    pub app_id: AppId,
    /// Time for which a replaced session key still decrypts data.
    pub session_key_grace: Duration,
    /// Maximum deviation of a watermark's time from ours.
    pub watermark_window: Duration,
    /// Hosts permitted in avatar URLs.
    pub avatar_hosts: AvatarHosts,
    /// Use of WeChat's content check of nicknames.
    pub check_text: CheckText,
}

impl ProfileRules {
    /// Creates the rules from the configuration.
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
    /// Whether changes are reported to the game server.
    pub(crate) fn webhooks(&self) -> Webhooks {
        match self.webhook {
            Some(_) => Webhooks::Stored,
            None => Webhooks::Off,
        }
    }

    /// Enqueues a follow-up job in the current trace. Returns `false` if its idempotency key was already used.
    pub(crate) async fn enqueue(&self, job: impl Into<NewJob>) -> Result<bool, JobError> {
        match self.queue.enqueue(job).await {
            Ok(enqueued) => Ok(matches!(enqueued, Enqueued::New(_))),
            Err(error) => Err(job_errors::queue(error)),
        }
    }
}
