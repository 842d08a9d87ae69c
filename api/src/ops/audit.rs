//! `/admin/audit`: the audit log; what becomes of its events as a metric; and refusals of the admin
//! routes themselves.

use avalon_core::audit::search::{self, AuditFilter};
use avalon_core::audit::{self, Actor, AuditEvent, AuditKind};
use avalon_core::base::ids::UserId;
use avalon_core::storage::database::Database;
use axum::extract::State;
use axum::http::{Method, Uri};
use axum::routing::get;
use axum::{Json, Router};
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounterVec, Opts, Registry};
use serde::Deserialize;
use serde_json::{Value, json};
use ulid::Ulid;

use super::OpsState;
use super::moment::Moment;
use crate::http::extract::{Peer, QueryOf};
use crate::http::problem::ApiError;

pub(super) fn routes() -> Router<OpsState> {
    Router::new().route("/admin/audit", get(list))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ListQuery {
    kind: Option<AuditKind>,
    user_id: Option<UserId>,
    from: Option<Moment>,
    to: Option<Moment>,
    cursor: Option<Ulid>,
    limit: Option<i64>,
}

/// Events, newest first.
async fn list(
    State(state): State<OpsState>,
    QueryOf(query): QueryOf<ListQuery>,
) -> Result<Json<Value>, ApiError> {
    let limit = query.limit.unwrap_or(100).clamp(1, 1000);
    let filter = AuditFilter {
        kind: query.kind,
        user: query.user_id,
        from: query.from.map(|Moment(time)| time),
        to: query.to.map(|Moment(time)| time),
        cursor: query.cursor,
        limit,
    };
    let events = search::events(&state.database, &filter).await?;
    let full = i64::try_from(events.len()).is_ok_and(|count| count == limit);
    let next = events.last().filter(|_| full).map(|event| event.id.clone());
    Ok(Json(json!({"events": events, "nextCursor": next})))
}

/// An operator did it, from there.
pub(super) fn by_operator(kind: AuditKind, Peer(address): Peer) -> AuditEvent {
    AuditEvent::new(kind, Actor::Operator).address(address)
}

/// Somebody asked for an admin route without its token.
pub(super) async fn refused(database: &Database, peer: Peer, method: &Method, uri: &Uri) {
    let event = by_operator(AuditKind::AdminRefused, peer)
        .with("method", method.as_str())
        // Without the query, which may hold anything.
        .with("path", uri.path());
    audit::record(database, event).await;
}

/// What becomes of security events, as `/metrics` shows it. Counted in `avalon_core::audit`.
pub struct AuditMetrics {
    opts: Opts,
    descriptions: Vec<Desc>,
}

impl AuditMetrics {
    const LABELS: [&str; 2] = ["kind", "outcome"];

    /// Registers the metric.
    ///
    /// # Errors
    /// When its name is taken in the registry.
    pub fn register(registry: &Registry) -> Result<(), prometheus::Error> {
        let opts = Opts::new(
            "avalon_audit_events_total",
            "Security events of this process, by kind and by what became of them.",
        );
        let empty = IntCounterVec::new(opts.clone(), &Self::LABELS)?;
        let descriptions = empty.desc().into_iter().cloned().collect();
        registry.register(Box::new(Self { opts, descriptions }))
    }
}

impl Collector for AuditMetrics {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let Ok(counters) = IntCounterVec::new(self.opts.clone(), &Self::LABELS) else {
            return Vec::new();
        };
        for (kind, outcome, count) in audit::counts() {
            counters
                .with_label_values(&[kind.as_ref(), outcome.as_ref()])
                .inc_by(count);
        }
        counters.collect()
    }
}
