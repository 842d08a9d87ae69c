//! The control routes under `/_sim/pay/`: orders, refunds, settings and certificates. Those for
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
use super::payment::{self, PayOptions, RequestPayment};
use super::refunds::{self, RefundStatus};
use super::state::Rotation;
use super::{Pay, control_callbacks};
use crate::control::{BadRequest, Strict, merge_settings};

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

/// The state of every control route.
pub(crate) type Platform = State<Arc<Pay>>;

async fn set_settings(
    State(pay): Platform,
    Strict(changes): Strict<Map<String, Value>>,
) -> Result<Json<PayBehaviour>, ControlError> {
    let mut state = pay.world.state();
    let changed = merge_settings(&state.pay.behaviour, changes)?;
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
        .map(|order| order.view(now))
        .collect();
    Json(json!({"orders": orders}))
}

async fn order(
    State(pay): Platform,
    Path(number): Path<String>,
) -> Result<Json<Value>, ControlError> {
    let state = pay.world.state();
    let order = state
        .pay
        .orders
        .get(&number)
        .ok_or_else(|| ControlError::not_found("order not found"))?;
    let mut view = order.view(state.now());
    view["refunds"] = state
        .pay
        .refunds
        .for_order(&number)
        .map(refunds::Refund::view)
        .collect();
    Ok(Json(view))
}

async fn pay_order(
    State(pay): Platform,
    Path(number): Path<String>,
    OptionalBody(options): OptionalBody<PayOptions>,
) -> Result<Json<Value>, ControlError> {
    payment::pay_order(&pay, &number, &options).map(Json)
}

async fn pay_prepay(
    State(pay): Platform,
    Path(prepay_id): Path<String>,
    OptionalBody(options): OptionalBody<PayOptions>,
) -> Result<Json<Value>, ControlError> {
    payment::pay_prepay(&pay, &prepay_id, &options).map(Json)
}

/// Pays an order from client parameters; `errMsg` has the text of `wx.requestPayment`.
async fn request_payment(
    State(pay): Platform,
    Strict(parameters): Strict<RequestPayment>,
) -> Response {
    match payment::request_payment(&pay, &parameters) {
        Ok(mut done) => {
            done["errMsg"] = "requestPayment:ok".into();
            Json(done).into_response()
        }
        Err(ControlError { status, error }) => {
            let message = format!("requestPayment:fail {error}");
            (status, Json(json!({"error": error, "errMsg": message}))).into_response()
        }
    }
}

async fn list_refunds(State(pay): Platform) -> Json<Value> {
    let state = pay.world.state();
    let refunds: Vec<_> = state
        .pay
        .refunds
        .iter()
        .map(refunds::Refund::view)
        .collect();
    Json(json!({"refunds": refunds}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FinishRequest {
    status: RefundStatus,
}

async fn finish_refund(
    State(pay): Platform,
    Path(number): Path<String>,
    Strict(FinishRequest { status }): Strict<FinishRequest>,
) -> Result<Json<Value>, ControlError> {
    refunds::finish(&pay, &number, status)
        .map(|refund| Json(refund.view()))
        .map_err(|error| ControlError::conflict(&error))
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RotateRequest {
    #[serde(default)]
    stage: Rotation,
}

async fn rotate(
    State(pay): Platform,
    OptionalBody(RotateRequest { stage }): OptionalBody<RotateRequest>,
) -> Json<Value> {
    pay.world.state().pay.certificates = stage;
    let listed: Vec<_> = stage
        .listed(&pay.keys)
        .iter()
        .map(|certificate| certificate.signer.serial)
        .collect();
    let signer = stage.signer(&pay.keys).serial;
    Json(json!({"stage": stage, "signer": signer, "listed": listed}))
}

/// An error response with its reason.
pub(crate) struct ControlError {
    status: StatusCode,
    error: String,
}

impl ControlError {
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

impl From<BadRequest> for ControlError {
    fn from(BadRequest(error): BadRequest) -> Self {
        Self::bad_request(&error)
    }
}

impl IntoResponse for ControlError {
    fn into_response(self) -> Response {
        (self.status, Json(json!({"error": self.error}))).into_response()
    }
}

/// A [`Strict`] body, or the default if it is empty.
pub(crate) struct OptionalBody<T>(pub(crate) T);

impl<T: DeserializeOwned + Default, S: Send + Sync> FromRequest<S> for OptionalBody<T> {
    type Rejection = BadRequest;

    async fn from_request(request: Request, state: &S) -> Result<Self, BadRequest> {
        let (head, body) = request.into_parts();
        let body = Bytes::from_request(Request::new(body), state)
            .await
            .map_err(|error| BadRequest(format!("the body cannot be read: {error}")))?;
        if body.is_empty() {
            return Ok(Self(T::default()));
        }
        let request = Request::from_parts(head, body.into());
        Strict::from_request(request, state)
            .await
            .map(|Strict(value)| Self(value))
    }
}
