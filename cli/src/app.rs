//! The application: every part of a process, built from its configuration in one place. The binary,
//! the benchmarks and the tests build the same [`App`] and start of it what they need; there are no
//! globals.
//!
//! Building opens no connection. An embedded queue is created if it does not exist.

mod error;
mod http;
mod services;
pub(crate) mod stores;

use std::sync::Arc;

use avalon_api::Events;
use avalon_core::accounts::sessions::Sessions;
use avalon_core::accounts::tokens::{TokenIssuer, TokenVerifier};
use avalon_core::analytics::EventMetrics;
use avalon_core::social::boards::{BoardMetrics, Boards};
use avalon_core::social::invites::{InviteMetrics, Invites};
use avalon_core::social::shares::{ShareIds, ShareMetrics, Shares};
use avalon_core::storage::database::Database;
use avalon_core::storage::keyring::Keyring;
use avalon_queue::{JobStore, Queue, QueueMetrics, RedisEndpoint};
use avalon_wechat::WechatMetrics;
use avalon_wechat::pay::PayClient;
use prometheus::Registry;

use crate::config::{Config, Role};

pub use error::AppError;
pub use http::ApiStop;
pub(crate) use services::{known_queue, pay_client};

/// The parts of a process. Cheap to clone.
#[derive(Clone)]
pub struct App {
    /// The configuration of the parts.
    pub config: Arc<Config>,
    /// The role, on which some defaults depend.
    pub role: Role,
    /// All metrics of the process.
    pub registry: Registry,
    /// The database; not migrated by building.
    pub database: Database,
    /// The shared connection to Redis, if it is configured.
    pub redis: Option<RedisEndpoint>,
    /// The queue: in Redis if that is configured, else embedded.
    pub queue: Queue,
    /// Encrypts secrets at rest.
    pub keyring: Arc<Keyring>,
    /// Players' sessions.
    pub sessions: Sessions,
    /// Leaderboards.
    pub boards: Boards,
    /// Signs players' tokens.
    pub issuer: Arc<TokenIssuer>,
    /// Verifies players' tokens.
    pub verifier: Arc<TokenVerifier>,
    /// WeChat Pay, if it is configured.
    pub pay: Option<PayClient>,
    /// Issues and tracks shares.
    pub shares: Shares,
    /// Attributes, rewards and lists invitations.
    pub invites: Invites,
    /// How events are accepted.
    pub events: Events,
    /// Metrics of calls to WeChat.
    pub wechat_metrics: WechatMetrics,
    /// Metrics of events.
    pub event_metrics: EventMetrics,
}

impl App {
    /// Builds the parts. Spawns background tasks, which end with the runtime.
    ///
    /// # Errors
    /// [`AppError`], for a configuration that is not complete for `role`, an embedded queue that cannot
    /// be opened, or a client that cannot be created.
    pub async fn build(config: Config, role: Role) -> Result<Self, AppError> {
        let redis = stores::redis(&config)?;
        let store = stores::store(&config, redis.as_ref()).await?;
        Self::with_store(config, role, redis, store)
    }

    /// Builds the parts around a given queue, such as one that injects faults.
    ///
    /// # Errors
    /// As [`App::build`].
    pub fn build_on(
        config: Config,
        role: Role,
        store: Arc<dyn JobStore>,
    ) -> Result<Self, AppError> {
        let redis = stores::redis(&config)?;
        Self::with_store(config, role, redis, store)
    }

    fn with_store(
        config: Config,
        role: Role,
        redis: Option<RedisEndpoint>,
        store: Arc<dyn JobStore>,
    ) -> Result<Self, AppError> {
        let registry = Registry::new();
        let wechat_metrics = WechatMetrics::new(&registry)?;
        let event_metrics = EventMetrics::new(&registry)?;
        let queue = Queue::new(store, QueueMetrics::new(&registry)?);
        let database = Database::new(&config.database)?;
        let keyring = Arc::new(stores::keyring(&config)?);
        let social = &config.social;
        Ok(Self {
            shares: Shares::new(
                database.clone(),
                ShareIds::new(Arc::clone(&keyring), social.share_ttl),
                social.shares.clone(),
                ShareMetrics::new(&registry)?,
            ),
            invites: Invites::new(
                database.clone(),
                social.invites.clone(),
                InviteMetrics::new(&registry)?,
            ),
            sessions: stores::sessions(&config, &keyring, redis.as_ref(), &database),
            boards: stores::boards(
                &config,
                redis.as_ref(),
                &database,
                BoardMetrics::new(&registry)?,
            ),
            issuer: Arc::new(stores::issuer(&config)?),
            verifier: Arc::new(stores::verifier(&config)?),
            pay: pay_client(&config, role, &wechat_metrics)?,
            events: http::events(&config, &event_metrics, redis.as_ref()),
            registry,
            database,
            redis,
            queue,
            keyring,
            wechat_metrics,
            event_metrics,
            config: Arc::new(config),
            role,
        })
    }

    /// A copy on the same stores whose handlers run with other settings. Its own metrics are not
    /// exported.
    #[must_use]
    pub fn reconfigured(&self, change: impl FnOnce(&mut Config)) -> Self {
        let mut app = Self {
            registry: Registry::new(),
            ..self.clone()
        };
        change(Arc::make_mut(&mut app.config));
        app
    }
}
