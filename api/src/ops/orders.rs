//! `/admin/orders`: orders with their history, refunds, and statistics.

use std::time::Duration;

use avalon_core::audit::{self, AuditKind};
use avalon_core::base::fen::Fen;
use avalon_core::base::ids::OrderId;
use avalon_core::base::iso_time::IsoTime;
use avalon_core::base::problem::{Problem, ProblemCode};
use avalon_core::jobs::SettleRefund;
use avalon_core::payments::order_rows::{self, HistoryEntry};
use avalon_core::payments::refunds::{self, NewRefund};
use avalon_core::payments::search::{self, OrderFilter};
use avalon_core::payments::{OrderStatus, PaymentError, reconciliation};
use avalon_queue::NewJob;
use avalon_wechat::OpenId;
use avalon_wechat::pay::Reason;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::OpsState;
use super::audit::by_operator;
use super::coins;
use super::jobs::accept;
use super::time_parameter::TimeParameter;
use crate::http::extract::{JsonBody, Peer, QueryOf, invalid_field};
use crate::http::problem::ApiError;
use crate::routes::payments::shop::{OrderPath, RequestKey, bounded};

pub(super) fn routes() -> Router<OpsState> {
    Router::new()
        .route("/admin/orders", get(list))
        .route("/admin/orders/{orderId}", get(show))
        .route("/admin/orders/{orderId}/refund", post(refund))
        .route("/admin/stats/payments", get(sums))
        .route("/admin/reconciliations", get(reconciliations))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ListQuery {
    status: Option<OrderStatus>,
    open_id: Option<String>,
    from: Option<TimeParameter>,
    to: Option<TimeParameter>,
    cursor: Option<String>,
    limit: Option<i64>,
}

async fn list(
    State(state): State<OpsState>,
    QueryOf(query): QueryOf<ListQuery>,
) -> Result<Json<Value>, ApiError> {
    let limit = query.limit.unwrap_or(100).clamp(1, 1000);
    let filter = OrderFilter {
        status: query.status,
        open_id: query.open_id.map(OpenId::new),
        from: query.from.map(|TimeParameter(time)| time),
        to: query.to.map(|TimeParameter(time)| time),
        cursor: query.cursor,
        limit,
    };
    let orders = search::orders(&state.database, &filter).await?;
    let full = i64::try_from(orders.len()).is_ok_and(|count| count == limit);
    let next = orders.last().filter(|_| full).map(|order| order.id);
    Ok(Json(json!({"orders": orders, "nextCursor": next})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SumsQuery {
    from: Option<TimeParameter>,
    to: Option<TimeParameter>,
}

/// Sums the orders that were created in a period, by state.
async fn sums(
    State(state): State<OpsState>,
    QueryOf(query): QueryOf<SumsQuery>,
) -> Result<Json<Value>, ApiError> {
    let from = query
        .from
        .map_or(Timestamp::MIN, |TimeParameter(time)| time);
    let to = query.to.map_or(Timestamp::MAX, |TimeParameter(time)| time);
    let sums = search::sums(&state.database, from, to).await?;
    Ok(Json(json!({"statuses": sums})))
}

/// Lists the reconciled days with their differences.
async fn reconciliations(State(state): State<OpsState>) -> Result<Json<Value>, ApiError> {
    let days = reconciliation::list(&state.database).await?;
    Ok(Json(json!({"reconciliations": days})))
}

async fn show(
    State(state): State<OpsState>,
    OrderPath(id): OrderPath,
) -> Result<Json<Value>, ApiError> {
    let order = order_rows::by_id(&state.database, id).await?;
    let order = order.ok_or(PaymentError::UnknownOrder)?;
    let history = order_rows::history(&state.database, id).await?;
    let history: Vec<Value> = history.iter().map(describe).collect();
    let refunds = refunds::of_order(&state.database, id).await?;
    Ok(Json(
        json!({"order": order, "history": history, "refunds": refunds}),
    ))
}

/// Describes a transition, with its time in ISO 8601 like all times.
fn describe(entry: &HistoryEntry) -> Value {
    json!({
        "status": entry.status,
        "cause": entry.cause,
        "at": IsoTime::from_millisecond(entry.at),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RefundBody {
    amount: Option<i64>,
    quantity: Option<i64>,
    reason: String,
}

impl RefundBody {
    fn into_refund(self, order_id: OrderId, idempotency_key: String) -> Result<NewRefund, Problem> {
        // An amount that exceeds the order is rejected with the order at hand.
        let amount = self
            .amount
            .map(|amount| bounded("amount", amount, 1..=i64::MAX))
            .transpose()?;
        let amount = amount.map(Fen::new).transpose();
        let amount = amount.map_err(|error| invalid_field("amount", error))?;
        if let Some(quantity) = self.quantity {
            bounded("quantity", quantity, 0..=i64::MAX)?;
        }
        // WeChat shows it to the player and accepts no other.
        Reason::parse(&*self.reason).map_err(|error| {
            invalid_field("reason", format!("{error} (1 to 80, without emoji)"))
        })?;
        Ok(NewRefund {
            request_digest: json!([self.amount, self.quantity, self.reason]).to_string(),
            order_id,
            amount,
            quantity: self.quantity,
            reason: self.reason,
            idempotency_key,
        })
    }
}

/// Decides a refund and enqueues its submission. If the queue is unavailable, a repeated request finds the
/// same refund, and so does the sweeper.
async fn refund(
    State(state): State<OpsState>,
    peer: Peer,
    OrderPath(order_id): OrderPath,
    RequestKey(key): RequestKey,
    JsonBody(body): JsonBody<RefundBody>,
) -> Result<Response, ApiError> {
    if !coins::is_refundable(&state, order_id).await? {
        return Err(ProblemCode::RefundElsewhere.into());
    }
    let new = body.into_refund(order_id, key)?;
    let refund = refunds::request(&state.database, &new, Timestamp::now()).await?;
    let event = by_operator(AuditKind::OrderRefunded, peer)
        .with("orderId", refund.order_id.to_string())
        .with("refundId", refund.refund_id.to_string())
        .with("amount", refund.amount.get());
    audit::record(&state.database, event).await;
    let job = NewJob::from_job(&SettleRefund {
        refund_id: refund.refund_id,
        check: 0,
        wait: Duration::ZERO,
    });
    accept(&state.queue, job, json!({"refund": refund})).await
}
