//! `GET /metrics`: the counters of this process and the current values of its stores. The values of an
//! unavailable store are omitted: stale ones would be mistaken for current ones.

use std::sync::Arc;
use std::time::{Duration, Instant};

use avalon_core::audit;
use avalon_core::payments::backlog::{self, Backlog};
use avalon_core::payments::{PaymentError, RefundStatus};
use avalon_core::social::backlog::{self as social, SocialBacklog};
use avalon_core::social::{boards, invites};
use avalon_core::storage::database::Database;
use avalon_metrics::metrics;
use avalon_queue::ServerInfo;
use avalon_queue::metrics::describe;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use prometheus::process_collector::ProcessCollector;
use prometheus::{Encoder, IntGaugeVec, Registry, TextEncoder};
use strum::VariantArray;
use tokio::sync::Mutex;

use super::OpsState;

metrics! {
    struct BuildInfo {
        /// Version and revision of the build; always 1.
        build: IntGaugeVec["version", "revision"] = "avalon_build_info",
    }

    struct ProcessMetrics {
        /// Security events of this process, by kind and outcome.
        audit_events: IntCounterVec["kind", "outcome"] = "avalon_audit_events_total",
        /// 1 if the store responds, 0 if not.
        store_up: IntGaugeVec["store"] = "avalon_store_up",
        /// Database connections of this process, by state (idle, used).
        connections: IntGaugeVec["state"] = "avalon_database_connections",
        /// Maximum number of database connections of this process.
        max_connections: IntGauge = "avalon_database_connections_max",
    }

    struct BacklogGauges {
        /// Payment callbacks received and not processed yet.
        inbox: IntGauge = "avalon_inbox_pending",
        /// Age of the oldest payment callback not processed yet.
        inbox_oldest: Gauge = "avalon_inbox_oldest_seconds",
        /// Orders waiting for payment.
        orders_pending: IntGauge = "avalon_orders_pending",
        /// Orders still waiting for payment five minutes after they should have been closed.
        orders_overdue: IntGauge = "avalon_orders_overdue",
        /// Refunds in progress, by status; an abnormal one waits for an operator.
        refunds: IntGaugeVec["status"] = "avalon_refunds_open",
        /// Age of the oldest refund in progress, by status.
        refunds_oldest: GaugeVec["status"] = "avalon_refunds_open_oldest_seconds",
        /// Orders that cannot be queried before their players sign in again.
        orders_waiting: IntGauge = "avalon_orders_waiting_for_player",
        /// Changes of coins whose outcome is unknown: an operator must decide.
        unsettled: IntGauge = "avalon_coin_spends_unsettled",
        /// Age of the oldest of them.
        unsettled_oldest: Gauge = "avalon_coin_spends_unsettled_oldest_seconds",
        /// Players whose coins differ from WeChat's sums.
        coin_differences: IntGauge = "avalon_coin_audit_differences",
        /// Erasures of players that have begun and are not done.
        erasures: IntGauge = "avalon_erasures_pending",
        /// Time since the oldest of them began.
        erasures_oldest: Gauge = "avalon_erasures_oldest_seconds",
        /// Differences between WeChat's bills and our orders in the last three reconciled days.
        differences: IntGauge = "avalon_reconciliation_differences",
        /// Unix time of the last finished reconciliation; 0: never.
        reconciled_at: IntGauge = "avalon_reconciliation_last_run_timestamp_seconds",
    }

    struct SocialGauges {
        /// Gift packs that wait for an operator to map their ids.
        gifts_waiting: IntGauge = "avalon_gifts_waiting",
        /// Players whose scores wait for a sign-in, since WeChat refuses their session keys.
        parked: IntGauge = "avalon_cloud_storage_parked",
    }

    struct BoardGauges {
        /// Implausible scores that wait for an operator.
        held: IntGauge = "avalon_scores_held",
        /// Age of the oldest score that waits for an operator.
        held_oldest: Gauge = "avalon_scores_held_oldest_seconds",
        /// Time since a window of a leaderboard should have ended; 0 if none is overdue.
        overdue: Gauge = "avalon_board_windows_overdue_seconds",
        /// Differences between the index of leaderboards and the scores that the last comparison found.
        differences: IntGauge = "avalon_board_differences",
    }

    struct WebhookGauges {
        /// Webhooks of the last 7 days that the game server has not accepted.
        undelivered: IntGauge = "avalon_orders_undelivered",
        /// Age of the oldest webhook that the game server has not accepted.
        oldest: Gauge = "avalon_orders_undelivered_oldest_seconds",
    }

    struct InviteGauges {
        /// Invitations for which rewards were granted, over all players and time.
        rewarded: IntGauge = "avalon_invites_rewarded",
    }

    struct InviteBudget {
        /// Maximum of `avalon_invites_rewarded` (`social.invites`).
        budget: IntGauge = "avalon_invites_budget",
    }

    struct RedisMetrics {
        /// Memory used by Redis.
        used_memory: IntGaugeVec["node"] = "avalon_redis_used_memory_bytes",
        /// maxmemory of Redis; 0: no limit.
        maxmemory: IntGaugeVec["node"] = "avalon_redis_maxmemory_bytes",
        /// 1 if maxmemory-policy is noeviction, as required.
        noeviction: IntGaugeVec["node"] = "avalon_redis_noeviction",
        /// 1 if the append-only file is enabled, as required.
        aof_enabled: IntGaugeVec["node"] = "avalon_redis_aof_enabled",
        /// 1 if the last write of the append-only file succeeded.
        aof_last_write_ok: IntGaugeVec["node"] = "avalon_redis_aof_last_write_ok",
        /// Client connections of Redis.
        clients: IntGaugeVec["node"] = "avalon_redis_connected_clients",
        /// 1 if the node is a primary, 0 if it is a replica.
        primary: IntGaugeVec["node"] = "avalon_redis_primary",
        /// Keys evicted by Redis since its start; must stay 0.
        evicted_keys: IntCounterVec["node"] = "avalon_redis_evicted_keys_total",
    }
}

/// A store that does not respond within this is reported as down.
const STORE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the backlog of the database is cached.
const CACHE_TTL: Duration = Duration::from_secs(5);

/// The current values of the database.
#[derive(Clone, Debug)]
struct Current {
    backlog: Backlog,
    social: SocialBacklog,
    boards: boards::Backlog,
    invites_rewarded: i64,
}

impl Current {
    async fn read(database: &Database) -> Result<Self, PaymentError> {
        let now = Timestamp::now();
        Ok(Self {
            backlog: backlog::read(database, now).await?,
            boards: boards::backlog(database, now).await?,
            social: social::read(database).await?,
            invites_rewarded: invites::rewarded(database).await?,
        })
    }
}

/// The last values of the database and their time: frequent scrapes cause few queries.
#[derive(Clone, Default)]
pub struct BacklogCache(Arc<Mutex<Option<(Instant, Current)>>>);

impl BacklogCache {
    /// The values, at most a few seconds old; `None`: the database is unavailable.
    async fn get(&self, state: &OpsState) -> Option<Current> {
        let mut last = self.0.lock().await;
        if let Some((at, current)) = &*last
            && at.elapsed() < CACHE_TTL
        {
            return Some(current.clone());
        }
        let read = Current::read(&state.database);
        let current = match tokio::time::timeout(STORE_TIMEOUT, read).await {
            Ok(Ok(current)) => current,
            Ok(Err(error)) => {
                tracing::debug!(%error, "backlog could not be read");
                return None;
            }
            Err(_) => return None,
        };
        *last = Some((Instant::now(), current.clone()));
        Some(current)
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
    let (queue, current, servers) = tokio::join!(queue, state.backlog.get(state), servers);

    describe_own(&registry, state, queue.is_some(), current.is_some())?;
    if let Some((stats, consumers)) = queue {
        describe(&registry, &stats, &consumers)?;
    }
    if let Some(current) = current {
        describe_backlog(&registry, &current.backlog, state.tells_game)?;
        describe_boards(&registry, &current.boards)?;
        let gauges = InviteGauges::new(&registry)?;
        gauges.rewarded.set(current.invites_rewarded);
        let gauges = SocialGauges::new(&registry)?;
        gauges.gifts_waiting.set(current.social.gifts_waiting);
        gauges.parked.set(current.social.hosted_parked);
    }
    if let Some(budget) = state.invites.config().budget {
        InviteBudget::new(&registry)?.budget.set(i64::from(budget));
    }
    describe_servers(&registry, &servers)?;
    Ok(registry)
}

fn describe_own(
    registry: &Registry,
    state: &OpsState,
    queue_up: bool,
    database_up: bool,
) -> Result<(), prometheus::Error> {
    let metrics = ProcessMetrics::new(registry)?;
    for (store, up) in [("queue", queue_up), ("database", database_up)] {
        let gauge = metrics.store_up.with_label_values(&[store]);
        gauge.set(i64::from(up));
    }
    for (kind, outcome, count) in audit::counts() {
        let labels = [kind.as_ref(), outcome.as_ref()];
        let counter = metrics.audit_events.with_label_values(&labels);
        counter.inc_by(count);
    }
    let counts = state.database.connections();
    let (open, idle) = (i64::from(counts.open), i64::from(counts.idle));
    for (state, connections) in [("idle", idle), ("used", open - idle)] {
        let gauge = metrics.connections.with_label_values(&[state]);
        gauge.set(connections);
    }
    metrics.max_connections.set(i64::from(counts.max));
    Ok(())
}

fn describe_backlog(
    registry: &Registry,
    backlog: &Backlog,
    tells_game: bool,
) -> Result<(), prometheus::Error> {
    let gauges = BacklogGauges::new(registry)?;
    gauges.inbox.set(backlog.inbox.count);
    gauges.inbox_oldest.set(seconds(backlog.inbox.oldest_ms));
    gauges.orders_pending.set(backlog.orders_pending);
    gauges.orders_overdue.set(backlog.orders_overdue);
    gauges.orders_waiting.set(backlog.awaiting_sign_in.count);
    gauges.unsettled.set(backlog.coins_unsettled.count);
    gauges
        .unsettled_oldest
        .set(seconds(backlog.coins_unsettled.oldest_ms));
    gauges.coin_differences.set(backlog.coin_differences);
    gauges.erasures.set(backlog.erasures.count);
    gauges
        .erasures_oldest
        .set(seconds(backlog.erasures.oldest_ms));
    gauges.differences.set(backlog.differences);
    let reconciled_at = backlog.reconciled_at.unwrap_or(0) / 1000;
    gauges.reconciled_at.set(reconciled_at);
    for status in RefundStatus::VARIANTS.iter().filter(|it| it.is_open()) {
        let found = backlog.refunds.iter().find(|(found, _)| found == status);
        let open = found.map(|(_, open)| *open).unwrap_or_default();
        let label = [status];
        gauges.refunds.with_label_values(&label).set(open.count);
        let oldest = gauges.refunds_oldest.with_label_values(&label);
        oldest.set(seconds(open.oldest_ms));
    }
    if tells_game {
        let gauges = WebhookGauges::new(registry)?;
        gauges.undelivered.set(backlog.undelivered.count);
        gauges.oldest.set(seconds(backlog.undelivered.oldest_ms));
    }
    Ok(())
}

fn describe_boards(
    registry: &Registry,
    backlog: &boards::Backlog,
) -> Result<(), prometheus::Error> {
    let gauges = BoardGauges::new(registry)?;
    gauges.held.set(backlog.held);
    gauges.held_oldest.set(seconds(backlog.held_oldest_ms));
    gauges.overdue.set(seconds(backlog.overdue_ms));
    gauges.differences.set(backlog.differences);
    Ok(())
}

fn describe_servers(registry: &Registry, servers: &[ServerInfo]) -> Result<(), prometheus::Error> {
    let metrics = RedisMetrics::new(registry)?;
    for server in servers {
        let node = [&server.node];
        let set = |gauge: &IntGaugeVec, value: u64| {
            let value = i64::try_from(value).unwrap_or(i64::MAX);
            gauge.with_label_values(&node).set(value);
        };
        set(&metrics.used_memory, server.used_memory);
        set(&metrics.maxmemory, server.maxmemory);
        let noeviction = server.maxmemory_policy == "noeviction";
        set(&metrics.noeviction, u64::from(noeviction));
        set(&metrics.aof_enabled, u64::from(server.aof_enabled));
        set(
            &metrics.aof_last_write_ok,
            u64::from(server.aof_last_write_ok),
        );
        set(&metrics.clients, server.connected_clients);
        set(&metrics.primary, u64::from(server.primary));
        let evicted = metrics.evicted_keys.with_label_values(&node);
        evicted.inc_by(server.evicted_keys);
    }
    Ok(())
}

fn seconds(ms: i64) -> f64 {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0)).as_secs_f64()
}

/// Registers the build information and the metrics of the process.
///
/// # Errors
/// If a name is already registered.
pub fn describe_process(registry: &Registry) -> Result<(), prometheus::Error> {
    let revision = option_env!("AVALON_REVISION").unwrap_or("unknown");
    BuildInfo::new(registry)?
        .build
        .with_label_values(&[env!("CARGO_PKG_VERSION"), revision])
        .set(1);
    registry.register(Box::new(ProcessCollector::for_self()))
}
