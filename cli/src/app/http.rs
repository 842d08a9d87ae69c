//! The API's side: the public router and the operators' router.

use std::sync::Arc;

use avalon_api::limits::{Limits, LocalLimiter, RedisLimiter};
use avalon_api::ops::{BacklogCache, Guesses, LogHandle, MessageIntake, OpsState, Phase};
use avalon_api::{
    Admission, ApiState, Events, GuardMetrics, HeaderPolicy, HttpMetrics, OpenChannels,
    PushEndpoint, PushMetrics, QueueRoom, TrustedProxies,
};
use avalon_core::analytics::EventMetrics;
use avalon_core::payments::inbox::InboxWriter;
use avalon_core::payments::order_reader::OrderReader;
use avalon_core::platform::pushes::PushWriter;
use avalon_core::social::messages::config::Templates;
use avalon_queue::RedisEndpoint;
use avalon_wechat::AppId;
use axum::Router;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::services::callback_receiver;
use super::stores::CLEAN_UP_EVERY;
use super::{App, AppError};
use crate::config::Config;

/// Stops an API in two steps.
#[derive(Clone, Debug, Default)]
pub struct ApiStop {
    /// Cancelled first: requests are still accepted, and clients asked to open new connections.
    pub draining: CancellationToken,
    /// Cancelled when no more requests are accepted: streams end.
    pub closing: CancellationToken,
}

impl App {
    /// Builds the public router. Registers its metrics: once per registry.
    ///
    /// # Errors
    /// [`AppError`].
    pub fn api_router(&self, stop: &ApiStop) -> Result<Router, AppError> {
        let http_metrics = HttpMetrics::new(&self.registry)?;
        self.api_router_with(stop, http_metrics)
    }

    pub(crate) fn api_router_with(
        &self,
        stop: &ApiStop,
        http_metrics: HttpMetrics,
    ) -> Result<Router, AppError> {
        let http = &self.config.http;
        let guard_metrics = GuardMetrics::new(&self.registry)?;
        let queue = self.queue.clone();
        let state = ApiState {
            admission: Admission::new(queue, http.max_queue_wait, guard_metrics.clone()),
            queue: self.queue.clone(),
            database: self.database.clone(),
            pay: callback_receiver(&self.config, self.pay.as_ref())?,
            channels: OpenChannels {
                platforms: self.config.pay.channels,
                wechat_pay: self.config.pay.enabled(),
                virtual_payment: self.config.vpay.enabled(),
            },
            orders: OrderReader::spawn(&self.database),
            inbox: InboxWriter::spawn(self.database.clone()),
            pushes: self.push_endpoint(),
            guard_metrics,
            pay_metrics: avalon_api::PayMetrics::new(&self.registry)?,
            push_metrics: PushMetrics::new(&self.registry)?,
            events: self.events.clone(),
            boards: self.boards.clone(),
            sessions: self.sessions.clone(),
            templates: self.templates(),
            shares: self.shares.clone(),
            invites: self.invites.clone(),
            tokens: Arc::clone(&self.verifier),
            issuer: Arc::clone(&self.issuer),
            signatures: self.config.auth.signatures,
            limits: self.limits(),
            proxies: Arc::new(TrustedProxies::new(http.trusted_proxies.clone())),
            http_metrics,
            wait: http.wait,
            max_wait: http.max_wait,
            max_body: http.max_body as usize,
            request_timeout: http.request_timeout,
            draining: stop.draining.clone(),
            stopping: stop.closing.clone(),
        };
        let headers = HeaderPolicy {
            cors_origins: http.cors_origins.clone(),
            hsts: http.hsts(),
        };
        Ok(avalon_api::router(state, &headers))
    }

    /// Builds the operators' router.
    pub fn ops_router(&self, log: LogHandle, phase: watch::Receiver<Phase>) -> Router {
        avalon_api::ops::router(OpsState {
            statistics: Arc::new(Semaphore::new(avalon_api::ops::MAX_STATISTICS)),
            queue: self.queue.clone(),
            database: self.database.clone(),
            registry: self.registry.clone(),
            redis: self.redis.clone(),
            tells_game: self.config.fulfil.webhook_url.is_some(),
            backlog: BacklogCache::default(),
            log,
            sessions: self.sessions.clone(),
            shares: self.shares.clone(),
            invites: self.invites.clone(),
            tokens: Arc::clone(&self.verifier),
            admin_token: self.config.admin.token.clone().map(Arc::new),
            guesses: Guesses::default(),
            phase,
            events: self.events.clone(),
            boards: self.boards.clone(),
            messages: MessageIntake {
                templates: self.templates(),
                quiet_hours: self.config.social.messages.quiet_hours,
            },
            erase_delay: self.config.storage.erase_delay,
        })
    }

    /// The templates of subscribe messages.
    fn templates(&self) -> Arc<Templates> {
        Arc::new(Templates::new(self.config.social.templates.clone()))
    }

    /// The endpoint of WeChat's message push, if it is configured.
    fn push_endpoint(&self) -> Option<PushEndpoint> {
        let app_id = self.config.wechat.app_id.clone().map(AppId::new)?;
        Some(PushEndpoint {
            receiver: self.config.push.receiver(app_id, self.role)?,
            keys: self.config.vpay.app_keys(),
            writer: PushWriter::spawn(self.database.clone()),
            database: self.database.clone(),
            queue: self.queue.clone(),
        })
    }

    /// Rate limits: in Redis if that is configured, else in this process.
    fn limits(&self) -> Limits {
        let limits = &self.config.limits;
        match &self.redis {
            _ if !limits.enabled(self.role) => Limits::Off,
            Some(endpoint) => {
                let prefix = &self.config.redis.key_prefix;
                Limits::Shared(RedisLimiter::new(endpoint.clone(), prefix, limits))
            }
            None => {
                let limiter = LocalLimiter::new(limits);
                let idle = limiter.clone();
                tokio::spawn(async move {
                    let mut ticks = tokio::time::interval(CLEAN_UP_EVERY);
                    loop {
                        ticks.tick().await;
                        idle.forget_idle();
                    }
                });
                Limits::Local(limiter)
            }
        }
    }
}

/// How events are accepted.
pub(super) fn events(
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
