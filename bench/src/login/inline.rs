//! A sign-in without API, queue and workers: the same handler, called directly in this process, with the
//! same simulator and database. The difference in latency is what API and queue add.

use std::sync::Arc;

use avalon::config::{Config, Role};
use avalon_core::accounts::sessions::{RedisSessions, Sessions};
use avalon_core::accounts::tokens::TokenIssuer;
use avalon_core::analytics::EventMetrics;
use avalon_core::jobs::{Login, QUEUES};
use avalon_core::platform::risk::RiskCache;
use avalon_core::platform::token::{PlatformTokens, RedisTokens, Timing, TokenMetrics};
use avalon_core::storage::database::Database;
use avalon_core::storage::keyring::Keyring;
use avalon_queue::{
    JobContext, JobId, JobStore, Queue, QueueMetrics, RedisEndpoint, RedisSettings, RedisStreams,
};
use avalon_test_support::FleetSettings;
use avalon_wechat::{AppId, PlatformClient, WechatClient, WechatMetrics, WechatSettings};
use avalon_workers::{Analytics, PayMetrics, ProfileMetrics, ProfileRules, Risk, Services, login};

use crate::Outcome;

/// The handler's dependencies, configured like the fleet's workers.
#[derive(Clone)]
pub(super) struct Inline(Arc<Services>);

impl Inline {
    pub(super) fn new(settings: &FleetSettings) -> Outcome<Self> {
        let config = Config::load(None, settings.environment(), Role::Workers)?;
        let (auth, wechat) = (&config.auth, &config.wechat);
        let needed = "the fleet's settings lack a secret";
        let registry = prometheus::Registry::new();
        let app_id = AppId::new(wechat.app_id.clone().ok_or(needed)?);
        let client = WechatClient::new(
            WechatSettings {
                app_id: app_id.clone(),
                app_secret: wechat.app_secret.clone().ok_or(needed)?,
                api_base: wechat.api_base.as_url().clone(),
                connect_timeout: wechat.connect_timeout,
                request_timeout: wechat.request_timeout,
            },
            WechatMetrics::new(&registry)?,
        )?;
        let encryption_key = config.storage.encryption_key.as_ref().ok_or(needed)?;
        let signing_key = auth.signing_key.as_ref().ok_or(needed)?;
        let nodes = config.redis.url.as_ref().ok_or(needed)?;
        let settings = RedisSettings {
            prefix: config.redis.key_prefix.clone(),
            queues: QUEUES.to_vec(),
            shards: 1,
        };
        let redis = RedisEndpoint::new(&nodes.joined())?;
        let ranks = RiskCache::shared(redis.clone(), &config.redis.key_prefix, config.risk.cache);
        let tokens = RedisTokens::new(redis.clone(), &config.redis.key_prefix);
        let store: Arc<dyn JobStore> = Arc::new(RedisStreams::new(redis.clone(), settings));
        let database = Database::new(&config.database)?;
        let queue = Queue::new(store, QueueMetrics::new(&registry)?);
        let analytics = Analytics::start(
            &config.analytics,
            &config.database,
            &database,
            &queue,
            EventMetrics::new(&registry)?,
        )?;
        let keyring = Arc::new(Keyring::new(encryption_key, &[])?);
        let sessions = Arc::new(RedisSessions::new(redis, &config.redis.key_prefix));
        // Not used by sign-ins.
        let tokens = PlatformTokens::new(
            client.clone(),
            Arc::new(tokens),
            Arc::clone(&keyring),
            Timing::for_calls_of(wechat.request_timeout),
            TokenMetrics::new(&registry)?,
        );
        Ok(Self(Arc::new(Services {
            database,
            queue,
            analytics,
            platform: PlatformClient::new(client.clone(), Arc::new(tokens)),
            risk: Risk::new(config.risk.clone(), ranks, &registry)?,
            pay: None,
            webhook: None,
            metrics: PayMetrics::new(&registry)?,
            profiles: ProfileRules::new(app_id, &config.profile),
            profile_metrics: ProfileMetrics::new(&registry)?,
            sessions: Sessions::new(
                sessions,
                Arc::clone(&keyring),
                auth.device_policy,
                auth.refresh_ttl,
            ),
            keyring,
            wechat: client,
            tokens: Arc::new(TokenIssuer::new(signing_key, &auth.issuer, auth.token_ttl)),
            audit_retention: config.storage.audit_retention,
        })))
    }

    pub(super) async fn sign_in(&self, code: &str) -> Outcome<()> {
        let login = Login {
            code: code.to_owned(),
            device_id: None,
            device_type: None,
            invite_code: None,
            scene: None,
        };
        let context = JobContext {
            id: JobId::generate(),
            attempt: 1,
            max_attempts: 1,
            version: 1,
            enqueued_at: 0,
            owner: None,
            traceparent: None,
        };
        match login::handle(Arc::clone(&self.0), login, context).await {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("{error:?}").into()),
        }
    }
}
