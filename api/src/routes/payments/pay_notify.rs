//! Callbacks of WeChat Pay: checked as far as can be without asking anybody, put into the inbox, and
//! acknowledged. Whoever works on them does so later; a queue that is away delays nothing here.

use std::time::Duration;

use avalon_core::jobs::Callback;
use avalon_core::payments::Channel;
use avalon_core::payments::inbox::{CallbackKind, Received};
use avalon_queue::NewJob;
use avalon_wechat::pay::{CallbackVerdict, PayClient, SignatureHeaders, VerifyError};
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;
use tracing::Instrument;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::extract::read;
use crate::http::problem::ApiError;
use crate::middleware::metrics::DoorLabel;
use crate::middleware::pipeline::Trace;
use crate::state::ApiState;

/// WeChat's callbacks have a few hundred bytes.
const MOST_BYTES: usize = 64 * 1024;
/// How long the inbox may take: WeChat gives up after five seconds.
const KEEP_PATIENCE: Duration = Duration::from_secs(3);
/// How long the queue may take. After that the relay finds the callback in the inbox.
const ENQUEUE_PATIENCE: Duration = Duration::from_secs(3);

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(payment))
        .routes(routes!(refund))
}

/// A refusal, as WeChat Pay knows it.
#[derive(Serialize, ToSchema)]
struct CallbackRefused {
    /// Always `FAIL`.
    #[schema(example = "FAIL")]
    code: &'static str,
    /// For a person.
    message: String,
}

/// WeChat Pay tells of a payment.
///
/// Kept before it is acknowledged. WeChat repeats what was not acknowledged.
#[utoipa::path(
    post,
    path = "/api/wx/pay/notify",
    tag = "callbacks",
    request_body(content = Object, description = "As WeChat Pay v3 sends it; the exact bytes are signed"),
    params(
        ("Wechatpay-Timestamp" = String, Header, description = "Unix seconds, at most 300 from our time"),
        ("Wechatpay-Nonce" = String, Header, description = "Random"),
        ("Wechatpay-Signature" = String, Header, description = "Base64"),
        ("Wechatpay-Serial" = String, Header, description = "Which of WeChat's keys signed"),
    ),
    responses(
        (status = 204, description = "Kept"),
        (status = 401, description = "Not believed to come from WeChat", body = CallbackRefused),
        (status = 413, description = "The body is too large", body = CallbackRefused),
        (status = 503, description = "It could not be kept, or payments are not configured", body = CallbackRefused),
    ),
)]
async fn payment(
    State(state): State<ApiState>,
    Extension(trace): Extension<Trace>,
    request: Request,
) -> Response {
    take_in(state, trace, CallbackKind::Payment, request).await
}

/// WeChat Pay tells of a refund.
///
/// Kept before it is acknowledged. WeChat repeats what was not acknowledged.
#[utoipa::path(
    post,
    path = "/api/wx/pay/refundNotify",
    tag = "callbacks",
    request_body(content = Object, description = "As WeChat Pay v3 sends it; the exact bytes are signed"),
    params(
        ("Wechatpay-Timestamp" = String, Header, description = "Unix seconds, at most 300 from our time"),
        ("Wechatpay-Nonce" = String, Header, description = "Random"),
        ("Wechatpay-Signature" = String, Header, description = "Base64"),
        ("Wechatpay-Serial" = String, Header, description = "Which of WeChat's keys signed"),
    ),
    responses(
        (status = 204, description = "Kept"),
        (status = 401, description = "Not believed to come from WeChat", body = CallbackRefused),
        (status = 413, description = "The body is too large", body = CallbackRefused),
        (status = 503, description = "It could not be kept, or payments are not configured", body = CallbackRefused),
    ),
)]
async fn refund(
    State(state): State<ApiState>,
    Extension(trace): Extension<Trace>,
    request: Request,
) -> Response {
    take_in(state, trace, CallbackKind::Refund, request).await
}

/// Checks, keeps, acknowledges.
async fn take_in(state: ApiState, trace: Trace, kind: CallbackKind, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let (label, response) = match read(body, &parts.headers, MOST_BYTES).await {
        Err(ApiError(problem)) => {
            let status = StatusCode::from_u16(problem.status);
            let status = status.unwrap_or(StatusCode::BAD_REQUEST);
            (DoorLabel::Refused, fail(status, problem.detail))
        }
        Ok(body) => match &state.pay {
            None => {
                tracing::warn!("a payment callback came, but payments are not configured");
                let message = "payments are not configured";
                let response = fail(StatusCode::SERVICE_UNAVAILABLE, message);
                (DoorLabel::NotStored, response)
            }
            Some(pay) => {
                let headers = SignatureHeaders::from_http(&parts.headers);
                at_the_door(&state, pay, trace, kind, &headers, body).await
            }
        },
    };
    state.pay_metrics.answered(label);
    response
}

async fn at_the_door(
    state: &ApiState,
    pay: &PayClient,
    trace: Trace,
    kind: CallbackKind,
    headers: &SignatureHeaders,
    body: Bytes,
) -> (DoorLabel, Response) {
    let label = match pay.check_callback(headers, &body) {
        CallbackVerdict::Verified => DoorLabel::Verified,
        CallbackVerdict::UnknownSerial(serial) => {
            tracing::info!(%serial, "a payment callback is signed by a key that is not at hand");
            DoorLabel::UnknownSerial
        }
        CallbackVerdict::Rejected(VerifyError::SignTest) => {
            tracing::info!("refused a probe of WeChat's");
            return (DoorLabel::Refused, unbelieved());
        }
        CallbackVerdict::Rejected(error) => {
            tracing::warn!(reason = error.as_ref(), "refused a payment callback");
            return (DoorLabel::Refused, unbelieved());
        }
    };
    match keep(state, kind, headers, body, label == DoorLabel::Verified).await {
        Ok(id) => {
            // Never waited for: what is in the inbox is safe.
            tokio::spawn(hand_on(state.clone(), trace, id).in_current_span());
            (label, StatusCode::NO_CONTENT.into_response())
        }
        Err(error) => {
            tracing::error!(error, "a payment callback could not be kept");
            let response = fail(StatusCode::SERVICE_UNAVAILABLE, "try again later");
            (DoorLabel::NotStored, response)
        }
    }
}

async fn keep(
    state: &ApiState,
    kind: CallbackKind,
    headers: &SignatureHeaders,
    body: Bytes,
    verified: bool,
) -> Result<String, String> {
    let received = Received {
        channel: Channel::WechatPay,
        kind,
        headers: serde_json::to_string(headers).map_err(|error| error.to_string())?,
        body: body.into(),
        verified,
    };
    match tokio::time::timeout(KEEP_PATIENCE, state.inbox.keep(received)).await {
        Ok(kept) => kept.map_err(|error| error.to_string()),
        Err(_) => Err("the inbox did not answer in time".to_owned()),
    }
}

/// Makes a job of a callback that was kept. When that fails, the relay does it.
async fn hand_on(state: ApiState, trace: Trace, id: String) {
    let callback = Callback {
        inbox_id: id.clone(),
    };
    let job = NewJob::from_job(&callback).traced(trace.0.to_string());
    let attempt = state.queue.enqueue(job);
    match tokio::time::timeout(ENQUEUE_PATIENCE, attempt).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::warn!(%error, "a callback waits for the relay"),
        Err(_) => tracing::warn!("a callback waits for the relay: the queue did not answer"),
    }
}

/// Tells a forger nothing.
fn unbelieved() -> Response {
    fail(StatusCode::UNAUTHORIZED, "the signature was refused")
}

fn fail(status: StatusCode, message: impl Into<String>) -> Response {
    let body = Json(CallbackRefused {
        code: "FAIL",
        message: message.into(),
    });
    let mut response = (status, body).into_response();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}
