//! Operators' changes of players' coins: presents, returns of spent coins, and decisions about changes whose
//! outcome is unknown. And players who had used what was refunded.

use avalon_core::audit::{self, AuditKind};
use avalon_core::base::ids::OrderId;
use avalon_core::base::problem::{Problem, ProblemCode};
use avalon_core::jobs::ChangeCoins;
use avalon_core::payments::coins::{self, CoinChange, CoinChangeKind, NewCoinChange};
use avalon_core::payments::fulfilments::Webhooks;
use avalon_core::payments::{Channel, PayWith, PaymentError, channel_refunds, order_rows};
use avalon_wechat::OpenId;
use aws_lc_rs::digest::{SHA256, digest};
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use super::OpsState;
use super::audit::by_operator;
use super::jobs::accept;
use super::users::player;
use crate::http::extract::{JsonBody, Peer, QueryOf, invalid_field};
use crate::http::problem::ApiError;
use crate::routes::payments::shop::{MAX_COUNTED, OrderPath, RequestKey, bounded};

/// Changes of one player that are listed.
const MAX_LISTED: i64 = 200;

pub(super) fn routes() -> Router<OpsState> {
    Router::new()
        .route("/admin/users/{openId}/coins", get(list).post(present))
        .route("/admin/orders/{orderId}/returnCoins", post(give_back))
        .route("/admin/coins/{billNo}/settle", post(settle))
        .route("/admin/players/refunds", get(refunds))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangeBody {
    amount: i64,
    reason: String,
}

impl ChangeBody {
    fn check(self) -> Result<Self, Problem> {
        bounded("amount", self.amount, 1..=MAX_COUNTED)?;
        reason(&self.reason)?;
        Ok(self)
    }
}

fn reason(text: &str) -> Result<(), Problem> {
    let length = text.chars().count();
    if !(1..=80).contains(&length) || text.chars().any(char::is_control) {
        return Err(invalid_field("reason", "1 to 80 characters are needed"));
    }
    Ok(())
}

/// Derives the number of a change from the operator's key: a repeat is the same change.
fn number(kind: &str, subject: &str, key: &str) -> String {
    use std::fmt::Write;
    let hash = digest(&SHA256, format!("{kind}\n{subject}\n{key}").as_bytes());
    let mut number = format!("{kind}-");
    for byte in &hash.as_ref()[..20] {
        // Writing to a string cannot fail.
        let _ = write!(number, "{byte:02x}");
    }
    number
}

/// Lists the changes of a player's coins, newest first.
async fn list(
    State(state): State<OpsState>,
    Path(open_id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let user = player(&state.database, open_id).await?;
    let open_id = OpenId::new(user.open_id);
    let changes = coins::of_player(&state.database, &open_id, MAX_LISTED).await?;
    let balance = coins::balance_of(&state.database, user.id).await?;
    Ok(Json(json!({"balance": balance, "changes": changes})))
}

/// Grants coins.
async fn present(
    State(state): State<OpsState>,
    peer: Peer,
    Path(open_id): Path<String>,
    RequestKey(key): RequestKey,
    JsonBody(body): JsonBody<ChangeBody>,
) -> Result<Response, ApiError> {
    let body = body.check()?;
    let user = player(&state.database, open_id).await?;
    let new = NewCoinChange {
        id: number("present", &user.id.to_string(), &key),
        user_id: user.id,
        open_id: OpenId::new(user.open_id),
        kind: CoinChangeKind::Present,
        order_id: None,
        amount: body.amount,
        sandbox: false,
        reason: body.reason,
    };
    request(&state, peer, &new).await
}

/// Gives coins of an order back, all or a part.
async fn give_back(
    State(state): State<OpsState>,
    peer: Peer,
    OrderPath(order_id): OrderPath,
    RequestKey(key): RequestKey,
    JsonBody(body): JsonBody<ChangeBody>,
) -> Result<Response, ApiError> {
    let body = body.check()?;
    let order = order_rows::by_id(&state.database, order_id).await?;
    let order = order.ok_or(ProblemCode::OrderNotFound)?;
    if order.pay_with != PayWith::Coins {
        return Err(ProblemCode::RefundElsewhere.into());
    }
    let new = NewCoinChange {
        id: number("return", &order_id.to_string(), &key),
        user_id: order.user_id,
        open_id: order.open_id,
        kind: CoinChangeKind::Return,
        order_id: Some(order_id),
        amount: body.amount,
        sandbox: order.sandbox,
        reason: body.reason,
    };
    request(&state, peer, &new).await
}

/// Stores a change and enqueues its first attempt. If the queue is unavailable, the sweeper does it.
async fn request(state: &OpsState, peer: Peer, new: &NewCoinChange) -> Result<Response, ApiError> {
    let change = coins::record(&state.database, new, Timestamp::now()).await?;
    let event = by_operator(AuditKind::CoinsChanged, peer).user(new.user_id);
    let event = about(event, &change).with("reason", new.reason.clone());
    audit::record(&state.database, event).await;
    let job = ChangeCoins {
        id: change.id.clone(),
        attempt: change.tries,
    };
    accept(&state.queue, &job, json!({"change": change})).await
}

fn about(event: audit::AuditEvent, change: &CoinChange) -> audit::AuditEvent {
    event
        .with("billNo", change.id.clone())
        .with("kind", change.kind.to_string())
        .with("amount", change.amount)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SettleBody {
    /// Whether WeChat has applied the change, as its console shows.
    applied: bool,
    reason: String,
}

/// Records what an operator has found out about an unsettled change.
async fn settle(
    State(state): State<OpsState>,
    peer: Peer,
    Path(id): Path<String>,
    JsonBody(body): JsonBody<SettleBody>,
) -> Result<Json<Value>, ApiError> {
    reason(&body.reason)?;
    let change = match id.contains('\0') {
        true => None,
        false => coins::by_id(&state.database, &id).await?,
    };
    let change = change.ok_or(ProblemCode::NotFound)?;
    let webhooks = match state.tells_game {
        true => Webhooks::Stored,
        false => Webhooks::Off,
    };
    let now = Timestamp::now();
    if !coins::decide(&state.database, &change, body.applied, webhooks, now).await? {
        return Err(ProblemCode::OrderState.into());
    }
    let event = by_operator(AuditKind::CoinsSettled, peer).user(change.user_id);
    let event = about(event, &change).with("applied", body.applied);
    audit::record(&state.database, event.with("reason", body.reason)).await;
    let change = coins::by_id(&state.database, &id).await?;
    Ok(Json(json!({"change": change})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RefundsQuery {
    days: Option<i64>,
}

/// Lists players who had used what was refunded.
async fn refunds(
    State(state): State<OpsState>,
    QueryOf(query): QueryOf<RefundsQuery>,
) -> Result<Json<Value>, ApiError> {
    let days = bounded("days", query.days.unwrap_or(90), 1..=3660)?;
    let from = Timestamp::now().checked_sub(SignedDuration::from_hours(24 * days));
    let from = from.unwrap_or(Timestamp::MIN);
    let players = channel_refunds::players(&state.database, from, 500).await?;
    Ok(Json(json!({"players": players})))
}

/// Whether an order's payment can be refunded through `refund`: not by channels whose operators refund in their
/// console.
pub(super) async fn is_refundable(
    state: &OpsState,
    order_id: OrderId,
) -> Result<bool, PaymentError> {
    let order = order_rows::by_id(&state.database, order_id).await?;
    Ok(order.is_none_or(|order| order.channel != Channel::VirtualPayment))
}
