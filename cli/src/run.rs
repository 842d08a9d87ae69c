//! The roles that stay: `dev`, `all`, `api`, `workers`. Starts their parts in order, and stops them
//! in the other order when asked.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{Config, Role};
use avalon_api::ops::{BacklogCache, OpsState, Phase};
use avalon_api::{ApiState, GuardMetrics, HeaderPolicy, HttpMetrics, TrustedProxies};
use avalon_core::analytics::EventMetrics;
use avalon_core::payments::inbox::InboxWriter;
use avalon_core::storage::database::{Database, DatabaseError};
use avalon_queue::Queue;
use avalon_wechat::WechatMetrics;
use avalon_workers::Pools;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;
use crate::signals::Logging;
use crate::{certificates, dev, signals, simulator, wiring};

/// How long the listener for operators goes on answering requests at the end.
const OPS_GRACE: Duration = Duration::from_secs(2);
/// How often WeChat Pay's certificates are fetched.
const PLATFORM_KEYS_EVERY: Duration = Duration::from_secs(3600);

pub(crate) async fn run(config: Config, role: Role, log: Logging) -> Result<(), Failure> {
    let tls = match role.serves_api() {
        true => certificates::tls(&config)?,
        false => None,
    };
    // Sockets first: a port that is taken is told before anything is touched.
    let ops_socket = wiring::listen("ops.listen", config.ops_listen(role)).await?;
    let http_socket = match role.serves_api() {
        true => Some(wiring::listen("http.listen", config.http.listen).await?),
        false => None,
    };
    let stop = signals::stop_on_signals()?;
    let log_file = log.config.clone();
    let log_handle = log.handle.clone();
    signals::reload_on_hangup(log, role)?;
    let registry = prometheus::Registry::new();
    avalon_api::ops::describe_process(&registry)?;
    let wechat_metrics = WechatMetrics::new(&registry)?;
    if let Some(tls) = tls.clone() {
        certificates::renew_on_hangup(tls, log_file, role, wechat_metrics.clone())?;
    }
    let event_metrics = EventMetrics::new(&registry)?;
    let database = Database::new(&config.database)?;
    let redis = wiring::redis(&config)?;
    let events = wiring::events(&config, &event_metrics, redis.as_ref());
    let store = wiring::store(&config, redis.as_ref()).await?;
    let queue = Queue::new(store, wiring::queue_metrics(&registry)?);
    let keyring = Arc::new(wiring::keyring(&config)?);
    let sessions = wiring::sessions(&config, &keyring, redis.as_ref(), &database);
    let issuer = Arc::new(wiring::issuer(&config)?);
    let verifier = Arc::new(wiring::verifier(&config)?);
    // What players use, and what goes on for operators until that has ended.
    let (mut public, mut servers) = (JoinSet::new(), JoinSet::new());

    let (phase, phases) = watch::channel(Phase::Starting);
    // Operators can look from here on, whatever the weather.
    let ops_stop = CancellationToken::new();
    let ops = avalon_api::ops::router(OpsState {
        statistics: Arc::new(Semaphore::new(avalon_api::ops::MAX_STATISTICS)),
        queue: queue.clone(),
        database: database.clone(),
        registry: registry.clone(),
        redis: redis.clone(),
        tells_game: config.fulfil.webhook_url.is_some(),
        backlog: BacklogCache::default(),
        log: log_handle,
        sessions: sessions.clone(),
        tokens: Arc::clone(&verifier),
        admin_token: config.admin.token.clone().map(Arc::new),
        phase: phases,
        events: events.clone(),
    });
    servers.spawn(avalon_api::serve(
        ops_socket,
        ops,
        None,
        ops_stop.clone(),
        OPS_GRACE,
        None,
    ));

    if role == Role::Dev {
        let socket = wiring::listen("simulator.listen", config.simulator.listen).await?;
        let simulator = simulator::new(&config)?;
        let (stop, ops_stop) = (stop.clone(), ops_stop.clone());
        servers.spawn(async move {
            let result = simulator.serve(socket, ops_stop.cancelled_owned()).await;
            stop.cancel();
            result
        });
    }
    if config.database.auto_migrate && !migrated(&database, &stop).await? {
        return Ok(());
    }
    let pay = wiring::pay_client(&config, &wechat_metrics)?;
    if let Some(pay) = pay.clone() {
        // Ends with the process: it has nothing to finish.
        tokio::spawn(async move { pay.keep_fresh(PLATFORM_KEYS_EVERY).await });
    }
    if role == Role::Dev {
        dev::stock(&database).await?;
    }
    let pools = if role.runs_workers() {
        let shared = wiring::Shared {
            database: &database,
            queue: &queue,
            keyring: &keyring,
            sessions: &sessions,
            tokens: &issuer,
            pay: pay.clone(),
            redis: redis.as_ref(),
            wechat_metrics: &wechat_metrics,
            event_metrics: &event_metrics,
            registry: &registry,
        };
        let services = Arc::new(wiring::services(&config, role, shared)?);
        let handlers = avalon_workers::handlers(&services);
        let settings = wiring::pools(&config, role)?;
        Some(Pools::start(&queue, handlers, &settings))
    } else {
        None
    };
    // Told to stop, the API still takes requests for a while; then it closes.
    let closing = CancellationToken::new();
    if let Some(socket) = http_socket {
        let http_metrics = HttpMetrics::new(&registry)?;
        let connections = http_metrics.connections();
        let state = ApiState {
            queue,
            database: database.clone(),
            pay,
            inbox: InboxWriter::spawn(database.clone()),
            guard_metrics: GuardMetrics::new(&registry)?,
            pay_metrics: avalon_api::PayMetrics::new(&registry)?,
            events,
            sessions,
            tokens: verifier,
            issuer,
            signatures: config.auth.signatures,
            limits: wiring::limits(&config, role, redis.as_ref()),
            proxies: Arc::new(TrustedProxies::new(config.http.trusted_proxies.clone())),
            http_metrics,
            wait: config.http.wait,
            max_wait: config.http.max_wait,
            max_body: config.http.max_body as usize,
            request_timeout: config.http.request_timeout,
            draining: stop.clone(),
            stopping: closing.clone(),
        };
        let headers = HeaderPolicy {
            cors_origins: config.http.cors_origins.clone(),
            hsts: config.http.hsts(),
        };
        let router = avalon_api::router(state, &headers);
        public.spawn(avalon_api::serve(
            socket,
            router,
            tls,
            closing.clone(),
            config.http.request_timeout,
            Some(connections),
        ));
    }
    if role == Role::Dev {
        dev::welcome(&config);
    }
    phase.send_replace(Phase::Running);
    tracing::info!(%role, "started");

    stop.cancelled().await;
    phase.send_replace(Phase::Stopping);
    if !public.is_empty() {
        tokio::time::sleep(config.http.drain_delay(role)).await;
    }
    closing.cancel();
    if let Some(pools) = pools {
        // Requests under way may wait for jobs: most get their answers before the pools stop.
        let _ = tokio::time::timeout(config.http.wait, finished(&mut public)).await;
        pools.stop().await;
    }
    finished(&mut public).await;
    ops_stop.cancel();
    finished(&mut servers).await;
    tracing::info!("stopped");
    Ok(())
}

async fn finished(servers: &mut JoinSet<std::io::Result<()>>) {
    while let Some(server) = servers.join_next().await {
        match server {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "a server ended badly"),
            Err(error) => tracing::error!(%error, "a server crashed"),
        }
    }
}

/// Brings the schema up to date, waiting for a database that is away; `false` when told to stop
/// before that.
async fn migrated(database: &Database, stop: &CancellationToken) -> Result<bool, Failure> {
    loop {
        match database.migrate().await {
            Ok(()) => return Ok(true),
            Err(error) if error.is_transient() => {
                tracing::warn!(%error, "waiting for the database");
                tokio::select! {
                    () = tokio::time::sleep(Duration::from_secs(1)) => {}
                    () = stop.cancelled() => return Ok(false),
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// `avalon migrate`: once, and tells what is wrong.
pub(crate) async fn migrate(config: &Config) -> Result<(), Failure> {
    let database = Database::new(&config.database)?;
    database
        .migrate()
        .await
        .map_err(|error: DatabaseError| Failure::from(error))?;
    println!("the schema of {} is up to date", config.database.url);
    Ok(())
}
