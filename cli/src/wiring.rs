//! Makes the parts of a process from its configuration. What is made here is passed on explicitly;
//! there are no globals.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{Config, Role};
use avalon_api::limits::{Limits, LocalLimiter, RedisLimiter};
use avalon_api::{Events, QueueRoom};
use avalon_core::accounts::sessions::{self, Sessions};
use avalon_core::accounts::tokens::{TokenIssuer, TokenVerifier};
use avalon_core::analytics::EventMetrics;
use avalon_core::jobs::QUEUES;
use avalon_core::payments::config::LatePayment;
use avalon_core::platform::risk::{self, RiskCache};
use avalon_core::platform::token::{self, PlatformTokens, Timing, TokenMetrics};
use avalon_core::storage::database::Database;
use avalon_core::storage::documents::{Documents, MemoryDocuments, RedisDocuments, SqlDocuments};
use avalon_core::storage::keyring::Keyring;
use avalon_queue::{
    JobStore, PoolSettings, Queue, QueueMetrics, QueueName, RedisEndpoint, RedisSettings,
    RedisStreams, Sqlite,
};
use avalon_wechat::pay::PayClient;
use avalon_wechat::{AppId, PlatformClient, WechatClient, WechatMetrics, WechatSettings};
use avalon_workers::channels::{Channels, WechatPay};
use avalon_workers::{
    Analytics, PayMetrics, Payments, PoolsSettings, ProfileMetrics, ProfileRules, Risk, Services,
    Webhook,
};
use jiff::Timestamp;
use secrecy::ExposeSecret;
use tokio::net::TcpListener;

use crate::failure::Failure;

/// How often what is no longer needed is forgotten by the embedded engine.
const FORGET_EVERY: Duration = Duration::from_secs(60);

/// Redis, when it is configured: one shared connection for all parts of the process.
pub(crate) fn redis(config: &Config) -> Result<Option<RedisEndpoint>, Failure> {
    let nodes = config.redis.url.as_ref();
    let authority = config
        .redis
        .tls_ca
        .as_ref()
        .map(ExposeSecret::expose_secret);
    Ok(nodes
        .map(|nodes| RedisEndpoint::with_authority(&nodes.joined(), authority))
        .transpose()?)
}

/// The queue: in Redis when that is configured, else the embedded one.
pub(crate) async fn store(
    config: &Config,
    redis: Option<&RedisEndpoint>,
) -> Result<Arc<dyn JobStore>, Failure> {
    if let Some(endpoint) = redis {
        let settings = RedisSettings {
            prefix: config.redis.key_prefix.clone(),
            queues: QUEUES.to_vec(),
            shards: 1,
        };
        let redis = RedisStreams::new(endpoint.clone(), settings);
        let checked = redis.clone();
        tokio::spawn(async move {
            // A Redis that is absent now is checked when it is there.
            while let Err(error) = warn_of_lossy_redis(&checked).await {
                tracing::debug!(%error, "the durability of Redis is not known yet");
                tokio::time::sleep(std::time::Duration::from_secs(5)).await;
            }
        });
        return Ok(Arc::new(redis));
    }
    let path = config.queue_path();
    if let Some(folder) = path.parent() {
        avalon_core::storage::database::create_private_folder(folder)?;
    }
    Ok(Arc::new(Sqlite::open(&path, QUEUES.to_vec()).await?))
}

/// The queue, for those who look at it: an embedded one that is not there is not made.
pub(crate) async fn existing_store(
    config: &Config,
    redis: Option<&RedisEndpoint>,
) -> Result<Arc<dyn JobStore>, Failure> {
    let path = config.queue_path();
    if redis.is_none() && !path.exists() {
        return Err(Failure::NoQueue(path));
    }
    store(config, redis).await
}

async fn warn_of_lossy_redis(redis: &RedisStreams) -> Result<(), avalon_queue::StoreError> {
    match redis.durability_warnings().await {
        Ok(warnings) => {
            for warning in warnings {
                tracing::warn!("{warning}");
            }
            Ok(())
        }
        // Managed servers forbid CONFIG; the operator knows theirs.
        Err(avalon_queue::StoreError::Unexpected(error)) => {
            tracing::info!(error, "Redis does not tell its configuration");
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Verifies players' tokens.
pub(crate) fn verifier(config: &Config) -> Result<TokenVerifier, Failure> {
    let auth = &config.auth;
    let key = auth
        .signing_key
        .as_ref()
        .ok_or_else(|| missing("auth.signing_key"))?;
    Ok(TokenVerifier::new(
        key.verifying_key(),
        &auth.previous_signing_keys,
        &auth.issuer,
    ))
}

/// Signs players' tokens.
pub(crate) fn issuer(config: &Config) -> Result<TokenIssuer, Failure> {
    let auth = &config.auth;
    let key = auth
        .signing_key
        .as_ref()
        .ok_or_else(|| missing("auth.signing_key"))?;
    Ok(TokenIssuer::new(key, &auth.issuer, auth.token_ttl))
}

/// Seals what must not be read at rest.
pub(crate) fn keyring(config: &Config) -> Result<Keyring, Failure> {
    let storage = &config.storage;
    let key = storage
        .encryption_key
        .as_ref()
        .ok_or_else(|| missing("storage.encryption_key"))?;
    Ok(Keyring::new(key, &storage.previous_encryption_keys)?)
}

/// Players' sessions: in Redis when that is configured, else in the database of the one process.
pub(crate) fn sessions(
    config: &Config,
    keyring: &Arc<Keyring>,
    redis: Option<&RedisEndpoint>,
    database: &Database,
) -> Sessions {
    let store: Arc<dyn Documents> = match redis {
        Some(endpoint) => Arc::new(RedisDocuments::new(
            endpoint.clone(),
            &config.redis.key_prefix,
            sessions::REDIS_TIMEOUT,
        )),
        None => {
            let documents = SqlDocuments::new(database.clone());
            tokio::spawn(delete_expired(documents.clone()));
            Arc::new(documents)
        }
    };
    let auth = &config.auth;
    let keyring = Arc::clone(keyring);
    Sessions::new(store, keyring, auth.device_policy, auth.refresh_ttl)
}

/// Ends with the process: it has nothing to finish.
async fn delete_expired(documents: SqlDocuments) {
    let mut ticks = tokio::time::interval(FORGET_EVERY);
    loop {
        ticks.tick().await;
        if let Err(error) = documents.delete_expired(Timestamp::now()).await {
            tracing::debug!(%error, "expired sessions are not removed yet");
        }
    }
}

/// Rate limits: in Redis when that is configured, else in the one process.
pub(crate) fn limits(config: &Config, role: Role, redis: Option<&RedisEndpoint>) -> Limits {
    let limits = &config.limits;
    match redis {
        _ if !limits.enabled(role) => Limits::Off,
        Some(endpoint) => {
            let prefix = &config.redis.key_prefix;
            Limits::Shared(RedisLimiter::new(endpoint.clone(), prefix, limits))
        }
        None => {
            let limiter = LocalLimiter::new(limits);
            let forgetful = limiter.clone();
            tokio::spawn(async move {
                let mut ticks = tokio::time::interval(FORGET_EVERY);
                loop {
                    ticks.tick().await;
                    forgetful.forget_idle();
                }
            });
            Limits::Local(limiter)
        }
    }
}

/// WeChat Pay, when it is configured.
pub(crate) fn pay_client(
    config: &Config,
    metrics: &WechatMetrics,
) -> Result<Option<PayClient>, Failure> {
    let app_id = config.wechat.app_id.clone().unwrap_or_default();
    match config.pay.client_settings(&AppId::new(app_id)) {
        None => Ok(None),
        Some(Err(missing_key)) => Err(missing(missing_key.0)),
        Some(Ok(settings)) => Ok(Some(PayClient::new(settings, metrics.clone())?)),
    }
}

/// What all parts of a process share.
pub(crate) struct Shared<'a> {
    pub(crate) database: &'a Database,
    pub(crate) queue: &'a Queue,
    pub(crate) keyring: &'a Arc<Keyring>,
    pub(crate) sessions: &'a Sessions,
    pub(crate) tokens: &'a Arc<TokenIssuer>,
    pub(crate) pay: Option<PayClient>,
    pub(crate) redis: Option<&'a RedisEndpoint>,
    pub(crate) wechat_metrics: &'a WechatMetrics,
    pub(crate) event_metrics: &'a EventMetrics,
    pub(crate) registry: &'a prometheus::Registry,
}

/// What handlers work with.
pub(crate) fn services(
    config: &Config,
    role: Role,
    shared: Shared<'_>,
) -> Result<Services, Failure> {
    let wechat = &config.wechat;
    let app_id = wechat.app_id.clone().map(AppId::new);
    let app_id = app_id.ok_or_else(|| missing("wechat.app_id"))?;
    let app_secret = wechat
        .app_secret
        .clone()
        .ok_or_else(|| missing("wechat.app_secret"))?;
    let client = WechatClient::new(
        WechatSettings {
            app_id: app_id.clone(),
            app_secret,
            api_base: wechat.api_base.as_url().clone(),
            connect_timeout: wechat.connect_timeout,
            request_timeout: wechat.request_timeout,
        },
        shared.wechat_metrics.clone(),
    )?;
    let platform = platform(config, &shared, &client)?;
    let risk = risk(config, &shared)?;
    let payments = shared.pay.map(|client| Payments {
        channels: Channels::default().with(WechatPay::new(client)),
        holds: config.pay.hold_rules(),
        reconcile_after: config.pay.reconcile_after,
        refund_late_payments: config.pay.late_payment == LatePayment::Refund,
        inbox_retention: config.pay.inbox_retention,
    });
    let analytics = Analytics::start(
        &config.analytics,
        &config.database,
        shared.database,
        shared.queue,
        shared.event_metrics.clone(),
    )?;
    Ok(Services {
        database: shared.database.clone(),
        queue: shared.queue.clone(),
        keyring: Arc::clone(shared.keyring),
        sessions: shared.sessions.clone(),
        wechat: client,
        platform,
        risk,
        pay: payments,
        webhook: webhook(config, role),
        metrics: PayMetrics::new(shared.registry)?,
        profiles: ProfileRules::new(app_id, &config.profile),
        profile_metrics: ProfileMetrics::new(shared.registry)?,
        analytics,
        tokens: Arc::clone(shared.tokens),
        audit_retention: config.storage.audit_retention,
    })
}

/// How events are taken in.
pub(crate) fn events(
    config: &Config,
    metrics: &EventMetrics,
    redis: Option<&RedisEndpoint>,
) -> Events {
    let max_age = config.analytics.max_age.as_millis();
    Events {
        metrics: metrics.clone(),
        sinks: config.analytics.sinks().into(),
        room: redis
            .cloned()
            .map_or_else(QueueRoom::unlimited, QueueRoom::watch),
        max_age_ms: i64::try_from(max_age).unwrap_or(i64::MAX),
    }
}

/// The platform with its access token: in Redis when that is configured, else of the one process.
fn platform(
    config: &Config,
    shared: &Shared<'_>,
    client: &WechatClient,
) -> Result<PlatformClient, Failure> {
    let documents: Arc<dyn Documents> = match shared.redis {
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
        Arc::clone(shared.keyring),
        Timing::for_calls_of(config.wechat.request_timeout),
        TokenMetrics::new(shared.registry)?,
    );
    Ok(PlatformClient::new(client.clone(), Arc::new(tokens)))
}

/// Which players may do things of worth; what WeChat said of them is kept where sessions are.
fn risk(config: &Config, shared: &Shared<'_>) -> Result<Risk, Failure> {
    let ttl = config.risk.cache;
    let cache = match shared.redis {
        Some(redis) => {
            let prefix = &config.redis.key_prefix;
            let documents = RedisDocuments::new(redis.clone(), prefix, risk::REDIS_TIMEOUT);
            RiskCache::new(documents, ttl)
        }
        None => RiskCache::new(MemoryDocuments::default(), ttl),
    };
    Ok(Risk::new(config.risk.clone(), cache, shared.registry)?)
}

/// Where the game server hears of paid goods, when it is configured.
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

/// Which pools to run, and how.
pub(crate) fn pools(config: &Config, role: Role) -> Result<PoolsSettings, Failure> {
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
        // The simulator of `dev` forgets its orders when it stops; the database does not.
        compares_bills: role != Role::Dev,
        platform_stats: config.platform_stats.datasets(),
    })
}

/// The queue of this name; the failure names where it was asked for.
pub(crate) fn known_queue(key: &'static str, name: &str) -> Result<QueueName, Failure> {
    QUEUES
        .into_iter()
        .find(|queue| queue.as_str() == name)
        .ok_or_else(|| Failure::Setting {
            key,
            problem: format!(
                "there is no queue {name:?}; there are {}",
                QUEUES.map(|queue| queue.to_string()).join(", ")
            ),
        })
}

/// Counts jobs; registered once per process.
pub(crate) fn queue_metrics(registry: &prometheus::Registry) -> Result<QueueMetrics, Failure> {
    Ok(QueueMetrics::new(registry)?)
}

/// A listening socket; the failure names the key.
pub(crate) async fn listen(
    key: &'static str,
    address: std::net::SocketAddr,
) -> Result<TcpListener, Failure> {
    TcpListener::bind(address)
        .await
        .map_err(|source| Failure::Listen {
            key,
            address,
            source,
        })
}

/// What the configuration's own check has let pass for another role.
fn missing(key: &'static str) -> Failure {
    Failure::Setting {
        key,
        problem: "required".to_owned(),
    }
}
