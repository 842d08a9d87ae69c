//! `/admin/audit`: the audit log, its metric, and the events of requests without the admin token.

use avalon_core::audit::search::{self, AuditFilter};
use avalon_core::audit::{self, Actor, AuditEvent, AuditKind};
use avalon_core::base::ids::UserId;
use avalon_core::storage::database::Database;
use axum::extract::State;
use axum::http::Method;
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use ulid::Ulid;

use super::OpsState;
use super::time_parameter::TimeParameter;
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
    from: Option<TimeParameter>,
    to: Option<TimeParameter>,
    cursor: Option<Ulid>,
    limit: Option<i64>,
}

/// Lists events, newest first.
async fn list(
    State(database): State<Database>,
    QueryOf(query): QueryOf<ListQuery>,
) -> Result<Json<Value>, ApiError> {
    let limit = query.limit.unwrap_or(100).clamp(1, 1000);
    let filter = AuditFilter {
        kind: query.kind,
        user: query.user_id,
        from: query.from.map(|TimeParameter(time)| time),
        to: query.to.map(|TimeParameter(time)| time),
        cursor: query.cursor,
        limit,
    };
    let events = search::events(&database, &filter).await?;
    let full = i64::try_from(events.len()).is_ok_and(|count| count == limit);
    let next = events.last().filter(|_| full).map(|event| event.id.clone());
    Ok(Json(json!({"events": events, "nextCursor": next})))
}

/// An event caused by an operator at this address.
pub(super) fn by_operator(kind: AuditKind, Peer(address): Peer) -> AuditEvent {
    AuditEvent::new(kind, Actor::Operator).address(address)
}

/// Records a request to an admin route without its token.
pub(super) async fn refused(database: &Database, peer: Peer, method: &Method, route: &str) {
    let event = by_operator(AuditKind::AdminRefused, peer)
        .with("method", method.as_str())
        // The route's template: a path names a player, whose erasure would not find it here.
        .with("path", route);
    audit::record(database, event).await;
}
