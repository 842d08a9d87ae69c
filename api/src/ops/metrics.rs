//! `GET /metrics`: what this process has counted, and what its stores tell at this moment. A store that
//! is away leaves its values out: an old number would be taken for a new one.

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
use tokio::sync::Mutex;

use super::OpsState;

/// A store that takes longer than this does not answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long what the database counted is told again.
const FRESH: Duration = Duration::from_secs(5);

/// What the database counted last, and when: however many scrape this process, it is asked rarely.
#[derive(Clone, Default)]
pub struct BacklogCache(Arc<Mutex<Option<(Instant, Backlog)>>>);

impl BacklogCache {
    /// The backlog of now, or of some seconds ago; none when the database does not answer.
    async fn get(&self, state: &OpsState) -> Option<Backlog> {
        let mut last = self.0.lock().await;
        if let Some((at, backlog)) = &*last
            && at.elapsed() < FRESH
        {
            return Some(backlog.clone());
        }
        let read = backlog::read(&state.database, Timestamp::now());
        let backlog = match tokio::time::timeout(PATIENCE, read).await {
            Ok(Ok(backlog)) => backlog,
            Ok(Err(error)) => {
                tracing::debug!(%error, "the backlog can't be counted");
                return None;
            }
            Err(_) => return None,
        };
        *last = Some((Instant::now(), backlog.clone()));
        Some(backlog)
    }
}

/// All metrics of the process, in Prometheus' text format.
pub(super) async fn metrics(State(state): State<OpsState>) -> Response {
    let encoder = TextEncoder::new();
    let moment = match of_this_moment(&state).await {
        Ok(moment) => moment,
        Err(error) => {
            tracing::error!(%error, "the metrics can't be gathered");
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
    };
    let mut families = state.registry.gather();
    families.extend(moment.gather());
    let mut text = Vec::new();
    match encoder.encode(&families, &mut text) {
        Ok(()) => (
            [(header::CONTENT_TYPE, encoder.format_type().to_owned())],
            text,
        )
            .into_response(),
        Err(error) => {
            tracing::error!(%error, "the metrics can't be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn of_this_moment(state: &OpsState) -> Result<Registry, prometheus::Error> {
    let registry = Registry::new();
    let queue = async {
        let asked = async {
            tokio::try_join!(state.queue.store().stats(), state.queue.store().consumers())
        };
        tokio::time::timeout(PATIENCE, asked).await.ok()?.ok()
    };
    let servers = async {
        match &state.redis {
            Some(redis) => redis.servers().await,
            None => vec![],
        }
    };
    let (queue, backlog, servers) = tokio::join!(queue, state.backlog.get(state), servers);

    let up = IntGaugeVec::new(
        Opts::new(
            "avalon_store_up",
            "1 when the store answered just now, 0 when it did not.",
        ),
        &["store"],
    )?;
    for (store, answered) in [("queue", queue.is_some()), ("database", backlog.is_some())] {
        up.with_label_values(&[store]).set(i64::from(answered));
    }
    keep(&registry, up)?;
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
        "Payment callbacks that were received and not processed yet.",
        backlog.inbox.count,
    )?;
    seconds(
        registry,
        "avalon_inbox_oldest_seconds",
        "Age of the oldest payment callback that was not processed yet.",
        backlog.inbox.oldest_ms,
    )?;
    number(
        registry,
        "avalon_orders_pending",
        "Orders that wait for their payment now.",
        backlog.orders_pending,
    )?;
    number(
        registry,
        "avalon_orders_overdue",
        "Orders that wait for their payment and should have been closed five minutes ago.",
        backlog.orders_overdue,
    )?;
    if tells_game {
        number(
            registry,
            "avalon_orders_undelivered",
            "Webhooks of orders paid or refunded in the last 7 days that the game server has not taken.",
            backlog.undelivered.count,
        )?;
        seconds(
            registry,
            "avalon_orders_undelivered_oldest_seconds",
            "Age of the oldest webhook that the game server has not taken.",
            backlog.undelivered.oldest_ms,
        )?;
    }
    let refunds = IntGaugeVec::new(
        Opts::new(
            "avalon_refunds_open",
            "Refunds under way, by state; an abnormal one waits for an operator.",
        ),
        &["status"],
    )?;
    let oldest = GaugeVec::new(
        Opts::new(
            "avalon_refunds_open_oldest_seconds",
            "Since when the oldest refund of the state was asked for.",
        ),
        &["status"],
    )?;
    for status in RefundStatus::ALL {
        let open = backlog.refunds.iter().find(|(found, _)| found == status);
        if status.is_open() {
            let open = open.map_or(Waiting::default(), |(_, open)| *open);
            let label = [status.as_str()];
            refunds.with_label_values(&label).set(open.count);
            oldest
                .with_label_values(&label)
                .set(open.oldest_ms as f64 / 1000.0);
        }
    }
    keep(registry, refunds)?;
    keep(registry, oldest)?;
    number(
        registry,
        "avalon_reconciliation_differences",
        "Differences between WeChat's bills and our orders, of the last three days that were compared.",
        backlog.differences,
    )?;
    number(
        registry,
        "avalon_reconciliation_last_run_timestamp_seconds",
        "When a comparison of a bill with our orders was last finished, Unix time; 0: never.",
        backlog.reconciled_at.unwrap_or(0) / 1000,
    )
}

fn describe_servers(registry: &Registry, servers: &[ServerInfo]) -> Result<(), prometheus::Error> {
    type Read = fn(&ServerInfo) -> u64;
    let gauges: [(&str, &str, Read); 7] = [
        (
            "avalon_redis_used_memory_bytes",
            "Memory that Redis uses for data.",
            |it| it.used_memory,
        ),
        (
            "avalon_redis_maxmemory_bytes",
            "Memory that Redis may use; 0: no limit.",
            |it| it.maxmemory,
        ),
        (
            "avalon_redis_noeviction",
            "1 when maxmemory-policy is noeviction, as it must be.",
            |it| u64::from(it.maxmemory_policy == "noeviction"),
        ),
        (
            "avalon_redis_aof_enabled",
            "1 when the append-only file is on, as it must be.",
            |it| u64::from(it.aof_enabled),
        ),
        (
            "avalon_redis_aof_last_write_ok",
            "1 when the last write of the append-only file succeeded.",
            |it| u64::from(it.aof_last_write_ok),
        ),
        (
            "avalon_redis_connected_clients",
            "Connections to Redis.",
            |it| it.connected_clients,
        ),
        (
            "avalon_redis_primary",
            "1 when the node takes writes, 0 when it is a replica.",
            |it| u64::from(it.primary),
        ),
    ];
    for (name, help, read) in gauges {
        let gauge = IntGaugeVec::new(Opts::new(name, help), &["node"])?;
        for server in servers {
            let value = i64::try_from(read(server)).unwrap_or(i64::MAX);
            gauge.with_label_values(&[&server.node]).set(value);
        }
        keep(registry, gauge)?;
    }
    let evicted = IntCounterVec::new(
        Opts::new(
            "avalon_redis_evicted_keys_total",
            "Keys that Redis threw away for want of memory since its start: must stay 0.",
        ),
        &["node"],
    )?;
    for server in servers {
        let counter = evicted.with_label_values(&[&server.node]);
        counter.inc_by(server.evicted_keys);
    }
    keep(registry, evicted)
}

fn describe_pool(registry: &Registry, state: &OpsState) -> Result<(), prometheus::Error> {
    let counts = state.database.connections();
    let (open, idle) = (i64::from(counts.open), i64::from(counts.idle));
    let connections = IntGaugeVec::new(
        Opts::new(
            "avalon_database_connections",
            "Connections of this process to the database, idle or used.",
        ),
        &["state"],
    )?;
    connections.with_label_values(&["idle"]).set(idle);
    connections.with_label_values(&["used"]).set(open - idle);
    keep(registry, connections)?;
    number(
        registry,
        "avalon_database_connections_max",
        "Most connections that this process opens to the database.",
        i64::from(counts.max),
    )
}

fn keep(registry: &Registry, collector: impl Collector + 'static) -> Result<(), prometheus::Error> {
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
    keep(registry, gauge)
}

fn seconds(registry: &Registry, name: &str, help: &str, ms: i64) -> Result<(), prometheus::Error> {
    let gauge = Gauge::new(name, help)?;
    let age = Duration::from_millis(u64::try_from(ms).unwrap_or(0));
    gauge.set(age.as_secs_f64());
    keep(registry, gauge)
}

/// Tells which build this is, and what the process itself costs.
///
/// # Errors
/// When one of the names is taken in the registry.
pub fn describe_process(registry: &Registry) -> Result<(), prometheus::Error> {
    let build = IntGaugeVec::new(
        Opts::new("avalon_build_info", "Which build this is; always 1."),
        &["version", "revision"],
    )?;
    let revision = option_env!("AVALON_REVISION").unwrap_or("unknown");
    build
        .with_label_values(&[env!("CARGO_PKG_VERSION"), revision])
        .set(1);
    keep(registry, build)?;
    keep(
        registry,
        prometheus::process_collector::ProcessCollector::for_self(),
    )
}
