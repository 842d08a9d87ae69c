//! The control routes under `/_sim/pay/`: orders, refunds, settings and certificates. Those of the
//! callbacks are in [`super::control_callbacks`].

use std::sync::Arc;

use axum::extract::{FromRequest, Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::behaviour::PayBehaviour;
use super::paying::{self, RequestPayment, Wish};
use super::refunds::{self, RefundStatus};
use super::state::Rotation;
use super::{Pay, control_callbacks};
use crate::control::{Refusal, Strict, merged};

pub(crate) fn routes(pay: &Arc<Pay>) -> Router {
    Router::new()
        .route("/settings", put(set_settings))
        .route("/orders", get(orders))
        .route("/orders/{out_trade_no}", get(order))
        .route("/orders/{out_trade_no}/pay", post(pay_order))
        .route("/prepay/{prepay_id}/pay", post(pay_prepay))
        .route("/request-payment", post(request_payment))
        .route("/refunds", get(list_refunds))
        .route("/refunds/{out_refund_no}/finish", post(finish_refund))
        .route("/certificates/rotate", post(rotate))
        .with_state(Arc::clone(pay))
        .merge(control_callbacks::routes(pay))
}

/// What every route works on.
pub(crate) type Platform = State<Arc<Pay>>;

async fn set_settings(
    State(pay): Platform,
    Strict(given): Strict<Map<String, Value>>,
) -> Result<Json<PayBehaviour>, Deny> {
    let mut state = pay.world.state();
    let changed = merged(&state.pay.behaviour, given)?;
    state.pay.behaviour = changed.clone();
    Ok(Json(changed))
}

async fn orders(State(pay): Platform) -> Json<Value> {
    let state = pay.world.state();
    let now = state.now();
    let orders: Vec<_> = state
        .pay
        .orders
        .iter()
        .map(|order| order.shown(now))
        .collect();
    Json(json!({"orders": orders}))
}

async fn order(State(pay): Platform, Path(number): Path<String>) -> Result<Json<Value>, Deny> {
    let state = pay.world.state();
    let order = state
        .pay
        .orders
        .get(&number)
        .ok_or_else(|| Deny::not_found("no such order"))?;
    let mut shown = order.shown(state.now());
    shown["refunds"] = state
        .pay
        .refunds
        .of_order(&number)
        .map(refunds::Refund::shown)
        .collect();
    Ok(Json(shown))
}

async fn pay_order(
    State(pay): Platform,
    Path(number): Path<String>,
    Optional(wish): Optional<Wish>,
) -> Result<Json<Value>, Deny> {
    paying::pay_order(&pay, &number, &wish).map(Json)
}

async fn pay_prepay(
    State(pay): Platform,
    Path(prepay_id): Path<String>,
    Optional(wish): Optional<Wish>,
) -> Result<Json<Value>, Deny> {
    paying::pay_prepay(&pay, &prepay_id, &wish).map(Json)
}

/// Answers as `wx.requestPayment` tells its caller, whatever else there is to tell.
async fn request_payment(State(pay): Platform, Strict(given): Strict<RequestPayment>) -> Response {
    match paying::request_payment(&pay, &given) {
        Ok(mut done) => {
            done["errMsg"] = "requestPayment:ok".into();
            Json(done).into_response()
        }
        Err(Deny { status, error }) => {
            let told = format!("requestPayment:fail {error}");
            (status, Json(json!({"error": error, "errMsg": told}))).into_response()
        }
    }
}

async fn list_refunds(State(pay): Platform) -> Json<Value> {
    let state = pay.world.state();
    let refunds: Vec<_> = state
        .pay
        .refunds
        .iter()
        .map(refunds::Refund::shown)
        .collect();
    Json(json!({"refunds": refunds}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct End {
    status: RefundStatus,
}

async fn finish_refund(
    State(pay): Platform,
    Path(number): Path<String>,
    Strict(End { status }): Strict<End>,
) -> Result<Json<Value>, Deny> {
    refunds::finish(&pay, &number, status)
        .map(|refund| Json(refund.shown()))
        .map_err(|error| Deny::conflict(&error))
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct To {
    #[serde(default)]
    stage: Rotation,
}

async fn rotate(State(pay): Platform, Optional(To { stage }): Optional<To>) -> Json<Value> {
    pay.world.state().pay.certificates = stage;
    let listed: Vec<_> = stage
        .listed(&pay.keys)
        .iter()
        .map(|certificate| certificate.signer.serial)
        .collect();
    let signer = stage.signer(&pay.keys).serial;
    Json(json!({"stage": stage, "signer": signer, "listed": listed}))
}

/// An error that says why.
pub(crate) struct Deny {
    status: StatusCode,
    error: String,
}

impl Deny {
    fn new(status: StatusCode, error: &str) -> Self {
        let error = error.to_owned();
        Self { status, error }
    }

    pub(crate) fn bad_request(error: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error)
    }

    pub(crate) fn not_found(error: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, error)
    }

    pub(crate) fn conflict(error: &str) -> Self {
        Self::new(StatusCode::CONFLICT, error)
    }
}

impl From<Refusal> for Deny {
    fn from(Refusal(error): Refusal) -> Self {
        Self::bad_request(&error)
    }
}

impl IntoResponse for Deny {
    fn into_response(self) -> Response {
        (self.status, Json(json!({"error": self.error}))).into_response()
    }
}

/// A body as [`Strict`] reads it, or none.
pub(crate) struct Optional<T>(pub(crate) T);

impl<T: DeserializeOwned + Default, S: Send + Sync> FromRequest<S> for Optional<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let (head, body) = request.into_parts();
        let body = Bytes::from_request(Request::new(body), state)
            .await
            .map_err(|error| Refusal(format!("the body cannot be read: {error}")))?;
        if body.is_empty() {
            return Ok(Self(T::default()));
        }
        let request = Request::from_parts(head, body.into());
        Strict::from_request(request, state)
            .await
            .map(|Strict(value)| Self(value))
    }
}
