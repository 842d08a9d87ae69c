//! The roles that stay: `dev`, `all`, `api`, `workers`. Starts the parts of the [`App`] in order, and
//! stops them in the reverse order.

use std::net::SocketAddr;
use std::time::Duration;

use avalon_api::ops::Phase;
use avalon_api::{Bounds, ConnectionMetrics, Endpoint, HttpMetrics};
use avalon_core::storage::database::{Database, DatabaseError};
use avalon_workers::Pools;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::app::{ApiStop, App, stores};
use crate::config::{Config, Role};
use crate::failure::Failure;
use crate::signals::Logging;
use crate::{certificates, descriptors, dev, dev_friends, playground, signals, simulator};

/// Time for which the operators' listener continues to respond at the end.
const OPS_GRACE: Duration = Duration::from_secs(2);
/// Interval at which WeChat Pay's certificates are fetched.
const PLATFORM_KEYS_EVERY: Duration = Duration::from_secs(3600);

pub(crate) async fn run(config: Config, role: Role, log: Logging) -> Result<(), Failure> {
    let tls = match role.serves_api() {
        true => certificates::tls(&config)?,
        false => None,
    };
    let max_connections = descriptors::provide(&config);
    // Sockets first: an occupied port is reported before anything else happens.
    let ops_socket = listen("ops.listen", config.ops_listen(role)).await?;
    let http_socket = match role.serves_api() {
        true => Some(listen("http.listen", config.http.listen).await?),
        false => None,
    };
    let stop = signals::stop_on_signals()?;
    let log_file = log.config.clone();
    let log_handle = log.handle.clone();
    signals::reload_on_hangup(log, role)?;
    let _claims = stores::claim_files(&config)?;
    let app = App::build(config, role).await?;
    let config = &app.config;
    avalon_api::ops::describe_process(&app.registry)?;
    if let Some(tls) = tls.clone() {
        certificates::renew_on_hangup(tls, log_file, role, app.wechat_metrics.clone())?;
    }
    // What players use, and what stays up for operators until that has ended.
    let (mut public, mut servers) = (JoinSet::new(), JoinSet::new());

    let (phase, phases) = watch::channel(Phase::Starting);
    // Operators have access from here on, even while stores are down.
    let ops_stop = CancellationToken::new();
    let operators = app.ops_router(log_handle, phases);
    servers.spawn(avalon_api::serve(
        Endpoint::operators(ops_socket)?,
        operators.clone(),
        ops_stop.clone(),
        OPS_GRACE,
    ));

    let mut page = None;
    if role == Role::Dev {
        let socket = listen("simulator.listen", config.simulator.listen).await?;
        let simulator = simulator::of_dev(config)?;
        page = Some(playground::router(
            simulator.router(),
            operators,
            config.admin.token.as_ref(),
            stop.clone(),
        ));
        let (stop, ops_stop) = (stop.clone(), ops_stop.clone());
        servers.spawn(async move {
            let result = simulator.serve(socket, ops_stop.cancelled_owned()).await;
            stop.cancel();
            result
        });
    }
    if config.database.auto_migrate && !migrated(&app.database, &stop).await? {
        tracing::info!("stopped before the schema was up to date");
        return Ok(());
    }
    if let Some(pay) = app.pay.clone() {
        // Runs until the process ends.
        tokio::spawn(async move { pay.keep_fresh(PLATFORM_KEYS_EVERY).await });
    }
    if role == Role::Dev {
        dev::stock(&app.database).await?;
        dev_friends::seed(&app).await?;
    }
    let pools = match role.runs_workers() {
        true => Some(Pools::start(
            &app.queue,
            app.handlers()?,
            &app.pools_settings()?,
        )),
        false => None,
    };
    // When the process stops, the API still accepts requests for a while; then it closes.
    let closing = CancellationToken::new();
    if let Some(socket) = http_socket {
        let http_metrics = HttpMetrics::new(&app.registry)?;
        let api_stop = ApiStop {
            draining: stop.clone(),
            closing: closing.clone(),
        };
        let mut router = app.api_router_with(&api_stop, http_metrics)?;
        if let Some(page) = page {
            router = router.merge(page);
        }
        let per_address = config.limits.enabled(role);
        let endpoint = Endpoint {
            socket,
            tls,
            bounds: Bounds::public(&config.http, max_connections, per_address),
            metrics: ConnectionMetrics::new(&app.registry)?,
        };
        let grace = config.http.request_timeout;
        public.spawn(avalon_api::serve(endpoint, router, closing.clone(), grace));
    }
    if role == Role::Dev {
        dev::welcome(config);
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
        // Requests in flight may wait for jobs: most get their responses before the pools stop.
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
            Ok(Err(error)) => tracing::error!(%error, "server failed"),
            Err(error) => tracing::error!(%error, "server panicked"),
        }
    }
}

/// Migrates the schema, waiting for a database that is down; `false` when stopped before that.
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

/// `avalon migrate`: migrates the schema once.
pub(crate) async fn migrate(config: &Config) -> Result<(), Failure> {
    let database = Database::new(&config.database)?;
    database
        .migrate()
        .await
        .map_err(|error: DatabaseError| Failure::from(error))?;
    println!("the schema of {} is up to date", config.database.url);
    Ok(())
}

/// Opens a listening socket; the failure names the key.
pub(crate) async fn listen(key: &'static str, address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address)
        .await
        .map_err(|source| Failure::Listen {
            key,
            address,
            source,
        })
}
