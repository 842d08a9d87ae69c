//! `GET /metrics`: the counters of this process and the current values of its stores. The values of an
//! unavailable store are omitted: stale ones would be mistaken for current ones.

use std::sync::Arc;
use std::time::{Duration, Instant};

use avalon_core::payments::RefundStatus;
use avalon_core::payments::backlog::{self, Backlog, Waiting};
use avalon_queue::ServerInfo;
use avalon_queue::metrics::describe;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use prometheus::core::Collector;
use prometheus::{
    Encoder, Gauge, GaugeVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};
use strum::VariantArray;
use tokio::sync::Mutex;

use super::OpsState;

/// A store that does not respond within this is reported as down.
const STORE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the backlog of the database is cached.
const CACHE_TTL: Duration = Duration::from_secs(5);

/// The last backlog of the database and its time: frequent scrapes cause few queries.
#[derive(Clone, Default)]
pub struct BacklogCache(Arc<Mutex<Option<(Instant, Backlog)>>>);

impl BacklogCache {
    /// The backlog, at most a few seconds old; `None`: the database is unavailable.
    async fn get(&self, state: &OpsState) -> Option<Backlog> {
        let mut last = self.0.lock().await;
        if let Some((at, backlog)) = &*last
            && at.elapsed() < CACHE_TTL
        {
            return Some(backlog.clone());
        }
        let read = backlog::read(&state.database, Timestamp::now());
        let backlog = match tokio::time::timeout(STORE_TIMEOUT, read).await {
            Ok(Ok(backlog)) => backlog,
            Ok(Err(error)) => {
                tracing::debug!(%error, "backlog could not be read");
                return None;
            }
            Err(_) => return None,
        };
        *last = Some((Instant::now(), backlog.clone()));
        Some(backlog)
    }
}

/// Renders all metrics in Prometheus' text format.
pub(super) async fn metrics(State(state): State<OpsState>) -> Response {
    let encoder = TextEncoder::new();
    let current = match current_values(&state).await {
        Ok(current) => current,
        Err(error) => {
            tracing::error!(%error, "metrics could not be gathered");
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
    };
    let mut families = state.registry.gather();
    families.extend(current.gather());
    let mut text = Vec::new();
    match encoder.encode(&families, &mut text) {
        Ok(()) => (
            [(header::CONTENT_TYPE, encoder.format_type().to_owned())],
            text,
        )
            .into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics could not be encoded");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn current_values(state: &OpsState) -> Result<Registry, prometheus::Error> {
    let registry = Registry::new();
    let queue = async {
        let read = async {
            tokio::try_join!(state.queue.store().stats(), state.queue.store().consumers())
        };
        tokio::time::timeout(STORE_TIMEOUT, read).await.ok()?.ok()
    };
    let servers = async {
        match &state.redis {
            Some(redis) => redis.servers().await,
            None => vec![],
        }
    };
    let (queue, backlog, servers) = tokio::join!(queue, state.backlog.get(state), servers);

    let up = IntGaugeVec::new(
        Opts::new("avalon_store_up", "1 if the store responds, 0 if not."),
        &["store"],
    )?;
    for (store, responds) in [("queue", queue.is_some()), ("database", backlog.is_some())] {
        up.with_label_values(&[store]).set(i64::from(responds));
    }
    register(&registry, up)?;
    if let Some((stats, consumers)) = queue {
        describe(&registry, &stats, &consumers)?;
    }
    if let Some(backlog) = backlog {
        describe_backlog(&registry, &backlog, state.tells_game)?;
    }
    describe_servers(&registry, &servers)?;
    describe_pool(&registry, state)?;
    Ok(registry)
}

fn describe_backlog(
    registry: &Registry,
    backlog: &Backlog,
    tells_game: bool,
) -> Result<(), prometheus::Error> {
    number(
        registry,
        "avalon_inbox_pending",
        "Payment callbacks received and not processed yet.",
        backlog.inbox.count,
    )?;
    seconds(
        registry,
        "avalon_inbox_oldest_seconds",
        "Age of the oldest payment callback not processed yet.",
        backlog.inbox.oldest_ms,
    )?;
    number(
        registry,
        "avalon_orders_pending",
        "Orders waiting for payment.",
        backlog.orders_pending,
    )?;
    number(
        registry,
        "avalon_orders_overdue",
        "Orders still waiting for payment five minutes after they should have been closed.",
        backlog.orders_overdue,
    )?;
    if tells_game {
        number(
            registry,
            "avalon_orders_undelivered",
            "Webhooks of the last 7 days that the game server has not accepted.",
            backlog.undelivered.count,
        )?;
        seconds(
            registry,
            "avalon_orders_undelivered_oldest_seconds",
            "Age of the oldest webhook that the game server has not accepted.",
            backlog.undelivered.oldest_ms,
        )?;
    }
    let refunds = IntGaugeVec::new(
        Opts::new(
            "avalon_refunds_open",
            "Refunds in progress, by status; an abnormal one waits for an operator.",
        ),
        &["status"],
    )?;
    let oldest = GaugeVec::new(
        Opts::new(
            "avalon_refunds_open_oldest_seconds",
            "Age of the oldest refund in progress, by status.",
        ),
        &["status"],
    )?;
    for status in RefundStatus::VARIANTS {
        let open = backlog.refunds.iter().find(|(found, _)| found == status);
        if status.is_open() {
            let open = open.map_or(Waiting::default(), |(_, open)| *open);
            let label = [status];
            refunds.with_label_values(&label).set(open.count);
            oldest
                .with_label_values(&label)
                .set(open.oldest_ms as f64 / 1000.0);
        }
    }
    register(registry, refunds)?;
    register(registry, oldest)?;
    number(
        registry,
        "avalon_reconciliation_differences",
        "Differences between WeChat's bills and our orders in the last three reconciled days.",
        backlog.differences,
    )?;
    number(
        registry,
        "avalon_reconciliation_last_run_timestamp_seconds",
        "Unix time of the last finished reconciliation; 0: never.",
        backlog.reconciled_at.unwrap_or(0) / 1000,
    )
}

fn describe_servers(registry: &Registry, servers: &[ServerInfo]) -> Result<(), prometheus::Error> {
    type Read = fn(&ServerInfo) -> u64;
    let gauges: [(&str, &str, Read); 7] = [
        (
            "avalon_redis_used_memory_bytes",
            "Memory used by Redis.",
            |it| it.used_memory,
        ),
        (
            "avalon_redis_maxmemory_bytes",
            "maxmemory of Redis; 0: no limit.",
            |it| it.maxmemory,
        ),
        (
            "avalon_redis_noeviction",
            "1 if maxmemory-policy is noeviction, as required.",
            |it| u64::from(it.maxmemory_policy == "noeviction"),
        ),
        (
            "avalon_redis_aof_enabled",
            "1 if the append-only file is enabled, as required.",
            |it| u64::from(it.aof_enabled),
        ),
        (
            "avalon_redis_aof_last_write_ok",
            "1 if the last write of the append-only file succeeded.",
            |it| u64::from(it.aof_last_write_ok),
        ),
        (
            "avalon_redis_connected_clients",
            "Client connections of Redis.",
            |it| it.connected_clients,
        ),
        (
            "avalon_redis_primary",
            "1 if the node is a primary, 0 if it is a replica.",
            |it| u64::from(it.primary),
        ),
    ];
    for (name, help, read) in gauges {
        let gauge = IntGaugeVec::new(Opts::new(name, help), &["node"])?;
        for server in servers {
            let value = i64::try_from(read(server)).unwrap_or(i64::MAX);
            gauge.with_label_values(&[&server.node]).set(value);
        }
        register(registry, gauge)?;
    }
    let evicted = IntCounterVec::new(
        Opts::new(
            "avalon_redis_evicted_keys_total",
            "Keys evicted by Redis since its start; must stay 0.",
        ),
        &["node"],
    )?;
    for server in servers {
        let counter = evicted.with_label_values(&[&server.node]);
        counter.inc_by(server.evicted_keys);
    }
    register(registry, evicted)
}

fn describe_pool(registry: &Registry, state: &OpsState) -> Result<(), prometheus::Error> {
    let pool = state.database.pool();
    let (open, idle) = (i64::from(pool.size()), pool.num_idle());
    let idle = i64::try_from(idle).unwrap_or(i64::MAX).min(open);
    let connections = IntGaugeVec::new(
        Opts::new(
            "avalon_database_connections",
            "Database connections of this process, by state (idle, used).",
        ),
        &["state"],
    )?;
    connections.with_label_values(&["idle"]).set(idle);
    connections.with_label_values(&["used"]).set(open - idle);
    register(registry, connections)?;
    number(
        registry,
        "avalon_database_connections_max",
        "Maximum number of database connections of this process.",
        i64::from(pool.options().get_max_connections()),
    )
}

fn register(
    registry: &Registry,
    collector: impl Collector + 'static,
) -> Result<(), prometheus::Error> {
    registry.register(Box::new(collector))
}

fn number(
    registry: &Registry,
    name: &str,
    help: &str,
    value: i64,
) -> Result<(), prometheus::Error> {
    let gauge = IntGauge::new(name, help)?;
    gauge.set(value);
    register(registry, gauge)
}

fn seconds(registry: &Registry, name: &str, help: &str, ms: i64) -> Result<(), prometheus::Error> {
    let gauge = Gauge::new(name, help)?;
    let age = Duration::from_millis(u64::try_from(ms).unwrap_or(0));
    gauge.set(age.as_secs_f64());
    register(registry, gauge)
}

/// Registers the build information and the metrics of the process.
///
/// # Errors
/// When a name is already registered.
pub fn describe_process(registry: &Registry) -> Result<(), prometheus::Error> {
    let build = IntGaugeVec::new(
        Opts::new(
            "avalon_build_info",
            "Version and revision of the build; always 1.",
        ),
        &["version", "revision"],
    )?;
    let revision = option_env!("AVALON_REVISION").unwrap_or("unknown");
    build
        .with_label_values(&[env!("CARGO_PKG_VERSION"), revision])
        .set(1);
    register(registry, build)?;
    register(
        registry,
        prometheus::process_collector::ProcessCollector::for_self(),
    )
}
