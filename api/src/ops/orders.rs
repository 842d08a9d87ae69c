//! `/admin/orders`: an order with its history, and paying it back.

use std::time::Duration;

use avalon_core::audit::{self, AuditKind};
use avalon_core::base::problem::Problem;
use avalon_core::jobs::SettleRefund;
use avalon_core::payments::order_rows::{self, HistoryEntry};
use avalon_core::payments::refunds::{self, NewRefund};
use avalon_core::payments::search::{self, OrderFilter};
use avalon_core::payments::{OrderStatus, PaymentError, reconciliation};
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
        open_id: query.open_id,
        from: query.from.map(|TimeParameter(time)| time),
        to: query.to.map(|TimeParameter(time)| time),
        cursor: query.cursor,
        limit,
    };
    let orders = search::orders(&state.database, &filter).await?;
    let full = i64::try_from(orders.len()).is_ok_and(|count| count == limit);
    let next = orders.last().filter(|_| full).map(|order| order.id.clone());
    Ok(Json(json!({"orders": orders, "nextCursor": next})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SumsQuery {
    from: Option<TimeParameter>,
    to: Option<TimeParameter>,
}

/// Sums of the orders that were made in a time, by state.
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

/// The days that were compared with WeChat's bill, with what was found.
async fn reconciliations(State(state): State<OpsState>) -> Result<Json<Value>, ApiError> {
    let days = reconciliation::list(&state.database).await?;
    Ok(Json(json!({"reconciliations": days})))
}

async fn show(
    State(state): State<OpsState>,
    OrderPath(id): OrderPath,
) -> Result<Json<Value>, ApiError> {
    let order = order_rows::by_id(&state.database, &id).await?;
    let order = order.ok_or(PaymentError::UnknownOrder)?;
    let history = order_rows::history(&state.database, &id).await?;
    let history: Vec<Value> = history.iter().map(describe).collect();
    let refunds = refunds::of_order(&state.database, &id).await?;
    Ok(Json(
        json!({"order": order, "history": history, "refunds": refunds}),
    ))
}

/// A step of the order's life, its time in ISO 8601 like all others.
fn describe(entry: &HistoryEntry) -> Value {
    json!({
        "status": entry.status,
        "cause": entry.cause,
        "at": Timestamp::from_millisecond(entry.at).ok(),
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
    fn into_refund(self, order_id: String, idempotency_key: String) -> Result<NewRefund, Problem> {
        // More than the order has is refused by the order.
        if let Some(amount) = self.amount {
            bounded("amount", amount, 1..=i64::MAX)?;
        }
        if let Some(quantity) = self.quantity {
            bounded("quantity", quantity, 0..=i64::MAX)?;
        }
        // WeChat shows it to the player, and takes no other.
        Reason::parse(&*self.reason).map_err(|error| {
            invalid_field("reason", format!("{error} (1 to 80, without emoji)"))
        })?;
        Ok(NewRefund {
            request_digest: json!([self.amount, self.quantity, self.reason]).to_string(),
            order_id,
            amount: self.amount,
            quantity: self.quantity,
            reason: self.reason,
            idempotency_key,
        })
    }
}

/// Decides a refund, and has WeChat told of it. Should the queue not take the job, the same request
/// again finds the same refund, and the clock finds it too.
async fn refund(
    State(state): State<OpsState>,
    peer: Peer,
    OrderPath(order_id): OrderPath,
    RequestKey(key): RequestKey,
    JsonBody(body): JsonBody<RefundBody>,
) -> Result<Response, ApiError> {
    let new = body.into_refund(order_id, key)?;
    let refund = refunds::request(&state.database, &new, Timestamp::now()).await?;
    let event = by_operator(AuditKind::OrderRefunded, peer)
        .with("orderId", &*refund.order_id)
        .with("refundId", &*refund.refund_id)
        .with("amount", refund.amount);
    audit::record(&state.database, event).await;
    let settle = SettleRefund {
        refund_id: refund.refund_id.clone(),
        check: 0,
    };
    let job = settle
        .into_job(Duration::ZERO)
        .map_err(|_| avalon_core::base::problem::ProblemCode::Internal)?;
    accept(&state.queue, job, json!({"refund": refund})).await
}
