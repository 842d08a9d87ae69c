//! The workers' side: clients of WeChat, services of the handlers, settings of the pools.

use std::sync::Arc;

use avalon_core::accounts::sign_in::SignInWriter;
use avalon_core::jobs::QUEUES;
use avalon_core::payments::config::LatePayment;
use avalon_core::payments::fulfilments::Webhooks;
use avalon_core::payments::inbox_reader::InboxReader;
use avalon_core::payments::orders::{OrderWriter, PaymentWriter};
use avalon_core::platform::risk::{self, RiskCache};
use avalon_core::platform::token::{self, PlatformTokens, Timing, TokenMetrics};
use avalon_core::social::invites::attribution::Attribution;
use avalon_core::storage::documents::{Documents, MemoryDocuments, RedisDocuments};
use avalon_queue::{Handlers, PoolSettings, QueueName};
use avalon_wechat::pay::{CallbackReceiver, PayClient, PayClientError};
use avalon_wechat::virtual_payment::VirtualPaymentClient;
use avalon_wechat::{AppId, PlatformClient, WechatClient, WechatMetrics, WechatSettings};
use avalon_workers::channels::{Channels, VirtualPayment, WechatPay};
use avalon_workers::{
    Analytics, AwaitedSignIns, HostedSignIns, MessageMetrics, MessageRules, PayMetrics, Payments,
    PoolsSettings, ProfileMetrics, ProfileRules, Risk, Services, Webhook,
};

use super::{App, AppError};
use crate::config::{Config, Role};

impl App {
    /// Builds what handlers work with. Registers their metrics: once per registry.
    ///
    /// # Errors
    /// [`AppError`].
    pub fn services(&self) -> Result<Services, AppError> {
        let config = &self.config;
        let wechat = &config.wechat;
        let app_id = wechat.app_id.clone().map(AppId::new);
        let app_id = app_id.ok_or_else(|| AppError::missing("wechat.app_id"))?;
        let app_secret = wechat
            .app_secret
            .clone()
            .ok_or_else(|| AppError::missing("wechat.app_secret"))?;
        let client = WechatClient::new(
            WechatSettings {
                app_id: app_id.clone(),
                app_secret,
                api_base: wechat.api_base.as_url().clone(),
                connect_timeout: wechat.connect_timeout,
                request_timeout: wechat.request_timeout,
            },
            self.wechat_metrics.clone(),
        )?;
        let platform = platform(self, &client)?;
        let risk = risk(self)?;
        let webhook = webhook(config, self.role);
        let webhooks = match &webhook {
            Some(_) => Webhooks::Stored,
            None => Webhooks::Off,
        };
        let coins = config.vpay.client_settings();
        let coins = coins.map(|settings| VirtualPaymentClient::new(platform.clone(), settings));
        let mut channels = Channels::default();
        if let Some(client) = self.pay.clone() {
            channels = channels.with(WechatPay::new(client));
        }
        if let Some(client) = coins.clone() {
            let keyring = Arc::clone(&self.keyring);
            let (app_id, database) = (app_id.clone(), self.database.clone());
            channels = channels.with(VirtualPayment::new(client, app_id, database, keyring));
        }
        let refund_block = config.vpay.refund_block;
        let payments = (!channels.is_empty()).then(|| Payments {
            channels,
            platforms: config.pay.channels,
            sandbox: config.vpay.sandbox,
            sandbox_grants: config.vpay.sandbox_grants,
            refund_block: (!refund_block.is_zero()).then_some(refund_block),
            coins,
            orders: OrderWriter::spawn(&self.database),
            writer: PaymentWriter::spawn(&self.database, webhooks),
            sign_ins: AwaitedSignIns::spawn(&self.database),
            holds: config.pay.hold_rules(),
            reconcile_after: config.pay.reconcile_after,
            refund_late_payments: config.pay.late_payment == LatePayment::Refund,
            inbox_retention: config.pay.inbox_retention,
        });
        let analytics = Analytics::start(
            &config.analytics,
            &config.database,
            &self.database,
            &self.queue,
            self.event_metrics.clone(),
        )?;
        Ok(Services {
            database: self.database.clone(),
            queue: self.queue.clone(),
            keyring: Arc::clone(&self.keyring),
            players: SignInWriter::spawn(&self.database, &self.keyring),
            sessions: self.sessions.clone(),
            boards: self.boards.clone(),
            wechat: client,
            platform,
            risk,
            pay: payments,
            inbox: InboxReader::spawn(&self.database),
            app_keys: config.vpay.app_keys(),
            push_retention: config.pay.inbox_retention,
            webhook,
            metrics: PayMetrics::new(&self.registry)?,
            messages: MessageRules::new(
                &config.social.messages,
                MessageMetrics::new(&self.registry)?,
            ),
            hosted: HostedSignIns::spawn(&self.database),
            profiles: ProfileRules::new(app_id, &config.profile),
            profile_metrics: ProfileMetrics::new(&self.registry)?,
            analytics,
            shares: self.shares.clone(),
            invites: self.invites.clone(),
            attribution: Attribution::new(self.shares.ids().clone(), config.social.invites.window),
            tokens: Arc::clone(&self.issuer),
            audit_retention: config.storage.audit_retention,
        })
    }

    /// Builds the handlers of all job kinds. Registers their metrics: once per registry.
    ///
    /// # Errors
    /// [`AppError`].
    pub fn handlers(&self) -> Result<Handlers, AppError> {
        Ok(avalon_workers::handlers(&Arc::new(self.services()?)))
    }

    /// Which pools to run, and how.
    ///
    /// # Errors
    /// [`AppError::Setting`] for an unknown queue.
    pub fn pools_settings(&self) -> Result<PoolsSettings, AppError> {
        let config = &self.config;
        let known = |name: &String| known_queue("workers.queues", name);
        Ok(PoolsSettings {
            queues: config
                .workers
                .queues
                .iter()
                .map(known)
                .collect::<Result<_, _>>()?,
            pool: PoolSettings {
                concurrency: config.workers.concurrency as usize,
                lease_timeout: config.queue.lease_timeout,
                max_lost_leases: config.queue.max_lost_leases,
                stop_grace: config.queue.stop_grace,
                ..PoolSettings::default()
            },
            // The simulator of `dev` loses its orders when it stops; the database does not.
            compares_bills: self.role != Role::Dev,
            // Like its orders.
            audits_coins: self.role != Role::Dev && config.vpay.enabled(),
            rewards_invites: config.social.invites.rewards(),
            counts_days: config.social.invites.days().is_some(),
            platform_stats: config.platform_stats.datasets(),
        })
    }
}

/// Checks callbacks of WeChat Pay, if it is configured: with the client's keys, or without a client with
/// WeChat's public key.
pub(crate) fn callback_receiver(
    config: &Config,
    client: Option<&PayClient>,
) -> Result<Option<CallbackReceiver>, AppError> {
    match (client, config.pay.public_key()) {
        (Some(client), _) => Ok(Some(CallbackReceiver::Client(client.clone()))),
        (None, Some(key)) if config.pay.enabled() => {
            let receiver = CallbackReceiver::with_public_key(&key);
            Ok(Some(receiver.map_err(PayClientError::PlatformKey)?))
        }
        (None, _) => Ok(None),
    }
}

/// WeChat Pay, if it is configured, and not only for receiving callbacks.
pub(crate) fn pay_client(
    config: &Config,
    role: Role,
    metrics: &WechatMetrics,
) -> Result<Option<PayClient>, AppError> {
    if role == Role::Api && config.pay.only_receives() {
        return Ok(None);
    }
    let app_id = config.wechat.app_id.clone().unwrap_or_default();
    match config.pay.client_settings(&AppId::new(app_id)) {
        None => Ok(None),
        Some(Err(missing_key)) => Err(AppError::missing(missing_key.0)),
        Some(Ok(settings)) => Ok(Some(PayClient::new(settings, metrics.clone())?)),
    }
}

/// The platform with its access token: in Redis if that is configured, else of the one process.
fn platform(app: &App, client: &WechatClient) -> Result<PlatformClient, AppError> {
    let config = &app.config;
    let documents: Arc<dyn Documents> = match &app.redis {
        Some(redis) => Arc::new(RedisDocuments::new(
            redis.clone(),
            &config.redis.key_prefix,
            token::REDIS_TIMEOUT,
        )),
        None => Arc::new(MemoryDocuments::default()),
    };
    let tokens = PlatformTokens::new(
        client.clone(),
        documents,
        Arc::clone(&app.keyring),
        Timing::for_calls_of(config.wechat.request_timeout),
        TokenMetrics::new(&app.registry)?,
    );
    Ok(PlatformClient::new(client.clone(), Arc::new(tokens)))
}

/// Which players may do things of worth; what WeChat said of them is kept where sessions are.
fn risk(app: &App) -> Result<Risk, AppError> {
    let config = &app.config;
    let ttl = config.risk.cache;
    let cache = match &app.redis {
        Some(redis) => {
            let prefix = &config.redis.key_prefix;
            let documents = RedisDocuments::new(redis.clone(), prefix, risk::REDIS_TIMEOUT);
            RiskCache::new(documents, ttl)
        }
        None => RiskCache::new(MemoryDocuments::default(), ttl),
    };
    Ok(Risk::new(config.risk.clone(), cache, &app.registry)?)
}

/// The webhook to the game server, if it is configured.
fn webhook(config: &Config, role: Role) -> Option<Webhook> {
    let fulfil = &config.fulfil;
    let (url, secret) = (
        fulfil.webhook_url.as_ref()?,
        fulfil.webhook_secret.as_ref()?,
    );
    let allow_private = fulfil.allow_private_addresses(role);
    Some(Webhook::new(
        url.as_url().clone(),
        secret.expose(),
        allow_private,
        fulfil.timeout,
    ))
}

/// Finds a queue by name; the error names the setting or option `key`.
pub(crate) fn known_queue(key: &'static str, name: &str) -> Result<QueueName, AppError> {
    QUEUES
        .into_iter()
        .find(|queue| queue.as_str() == name)
        .ok_or_else(|| AppError::Setting {
            key,
            problem: format!(
                "there is no queue {name:?}; there are {}",
                QUEUES.map(|queue| queue.to_string()).join(", ")
            ),
        })
}
