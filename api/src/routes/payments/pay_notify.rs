//! Callbacks of WeChat Pay: verified as far as the keys at hand allow, stored in the inbox, and acknowledged.
//! Nothing on this path calls WeChat or waits for the queue; workers process the inbox later.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use avalon_core::base::ids::InboxId;
use avalon_core::jobs::Callback;
use avalon_core::payments::Channel;
use avalon_core::payments::inbox::{CallbackKind, InboxWriter, Received};
use avalon_queue::{NewJob, Queue};
use avalon_wechat::pay::{CallbackReceiver, CallbackVerdict, SignatureHeaders, VerifyError};
use axum::body::Bytes;
use axum::extract::{FromRef, Request, State};
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
use crate::middleware::client_address::{ClientAddress, TrustedProxies};
use crate::middleware::limits::{Counted, Limit};
use crate::middleware::metrics::{IngressVerdict, PayMetrics};
use crate::middleware::rate_limits::RateLimits;
use crate::middleware::trace_context::Trace;
use crate::state::{App, sub_states};

/// Maximum size of a callback in bytes. WeChat's have 1 to 3 KiB: a transaction of about 1 KiB, more with
/// coupons, encrypted and in base64. Anyone can have bodies stored by naming an unknown key, so the bound is
/// not the general one.
const MAX_BYTES: usize = 16 * 1024;
/// The inbox must store a callback within this; WeChat gives up after five seconds.
const STORE_TIMEOUT: Duration = Duration::from_secs(3);
/// The queue must accept the job within this; otherwise the sweeper finds the callback in the inbox.
const ENQUEUE_TIMEOUT: Duration = Duration::from_secs(3);

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(payment))
        .routes(routes!(refund))
}

/// What callbacks are received with.
#[derive(Clone)]
struct Callbacks {
    pay: Option<CallbackReceiver>,
    inbox: InboxWriter,
    queue: Queue,
    metrics: PayMetrics,
    limits: RateLimits,
    proxies: Arc<TrustedProxies>,
}

sub_states! { App as state =>
    Callbacks: Self {
        pay: FromRef::from_ref(state),
        inbox: FromRef::from_ref(state),
        queue: FromRef::from_ref(state),
        metrics: FromRef::from_ref(state),
        limits: FromRef::from_ref(state),
        proxies: FromRef::from_ref(state),
    };
}

/// A rejection in the form that WeChat Pay defines.
#[derive(Serialize, ToSchema)]
struct CallbackRefused {
    /// Always `FAIL`.
    #[schema(example = "FAIL")]
    code: &'static str,
    /// For people.
    message: String,
}

/// Receives a payment callback of WeChat Pay.
///
/// It is stored before it is acknowledged. WeChat repeats a callback that was not acknowledged.
#[utoipa::path(
    post,
    path = "/api/wx/pay/notify",
    operation_id = "notifyPayment",
    tag = "callbacks",
    request_body(content = Object, description = "As WeChat Pay v3 sends it; the exact bytes are signed"),
    params(
        ("Wechatpay-Timestamp" = String, Header, description = "Unix seconds, at most 300 from our time"),
        ("Wechatpay-Nonce" = String, Header, description = "Random"),
        ("Wechatpay-Signature" = String, Header, description = "Base64"),
        ("Wechatpay-Serial" = String, Header, description = "Id of the key that signed"),
    ),
    responses(
        (status = 204, description = "Stored"),
        (status = 401, description = "Not authentic", body = CallbackRefused),
        (status = 413, description = "The body is larger than 16 KiB", body = CallbackRefused),
        (status = 429, description = "Too many callbacks of this address whose key is unknown", body = CallbackRefused),
        (status = 503, description = "It could not be stored, or payments are not configured", body = CallbackRefused),
    ),
)]
async fn payment(
    State(state): State<Callbacks>,
    Extension(trace): Extension<Trace>,
    request: Request,
) -> Response {
    receive(state, trace, CallbackKind::Payment, request).await
}

/// Receives a refund callback of WeChat Pay.
///
/// It is stored before it is acknowledged. WeChat repeats a callback that was not acknowledged.
#[utoipa::path(
    post,
    path = "/api/wx/pay/refundNotify",
    operation_id = "notifyRefund",
    tag = "callbacks",
    request_body(content = Object, description = "As WeChat Pay v3 sends it; the exact bytes are signed"),
    params(
        ("Wechatpay-Timestamp" = String, Header, description = "Unix seconds, at most 300 from our time"),
        ("Wechatpay-Nonce" = String, Header, description = "Random"),
        ("Wechatpay-Signature" = String, Header, description = "Base64"),
        ("Wechatpay-Serial" = String, Header, description = "Id of the key that signed"),
    ),
    responses(
        (status = 204, description = "Stored"),
        (status = 401, description = "Not authentic", body = CallbackRefused),
        (status = 413, description = "The body is larger than 16 KiB", body = CallbackRefused),
        (status = 429, description = "Too many callbacks of this address whose key is unknown", body = CallbackRefused),
        (status = 503, description = "It could not be stored, or payments are not configured", body = CallbackRefused),
    ),
)]
async fn refund(
    State(state): State<Callbacks>,
    Extension(trace): Extension<Trace>,
    request: Request,
) -> Response {
    receive(state, trace, CallbackKind::Refund, request).await
}

/// Verifies, stores and acknowledges a callback.
async fn receive(state: Callbacks, trace: Trace, kind: CallbackKind, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let sender = ClientAddress::of(&state.proxies, &parts.extensions, &parts.headers);
    let (label, response) = match read(body, &parts.headers, MAX_BYTES).await {
        Err(ApiError(problem)) => {
            let status = StatusCode::from_u16(problem.status);
            let status = status.unwrap_or(StatusCode::BAD_REQUEST);
            (IngressVerdict::Refused, fail(status, problem.detail))
        }
        Ok(body) => match &state.pay {
            None => {
                tracing::warn!("payment callback received, but payments are not configured");
                let message = "payments are not configured";
                let response = fail(StatusCode::SERVICE_UNAVAILABLE, message);
                (IngressVerdict::NotStored, response)
            }
            Some(pay) => {
                let headers = SignatureHeaders::from_http(&parts.headers);
                verify_and_store(&state, pay, trace, sender, kind, &headers, body).await
            }
        },
    };
    state.metrics.received(label);
    response
}

async fn verify_and_store(
    state: &Callbacks,
    pay: &CallbackReceiver,
    trace: Trace,
    sender: ClientAddress,
    kind: CallbackKind,
    headers: &SignatureHeaders,
    body: Bytes,
) -> (IngressVerdict, Response) {
    let label = match pay.check_callback(headers, &body) {
        CallbackVerdict::Verified => IngressVerdict::Verified,
        CallbackVerdict::UnknownSerial(serial) => {
            tracing::info!(%serial, "payment callback signed by an unknown key");
            pay.fetch_for_receipt(&serial);
            if let Some(limited) = limit(&state.limits, sender).await {
                return (IngressVerdict::Limited, limited);
            }
            IngressVerdict::UnknownSerial
        }
        CallbackVerdict::Rejected(VerifyError::SignTest) => {
            tracing::info!("signature probe of WeChat rejected");
            return (IngressVerdict::Refused, not_authentic());
        }
        CallbackVerdict::Rejected(error) => {
            tracing::warn!(reason = error.as_ref(), "payment callback rejected");
            return (IngressVerdict::Refused, not_authentic());
        }
    };
    match store(
        state,
        kind,
        headers,
        body,
        label == IngressVerdict::Verified,
    )
    .await
    {
        Ok(id) => {
            // Not awaited: a callback in the inbox is safe.
            tokio::spawn(enqueue(state.clone(), trace, id).in_current_span());
            (label, StatusCode::NO_CONTENT.into_response())
        }
        Err(error) => {
            tracing::error!(error, "payment callback was not stored");
            let response = fail(StatusCode::SERVICE_UNAVAILABLE, "try again later");
            (IngressVerdict::NotStored, response)
        }
    }
}

async fn store(
    state: &Callbacks,
    kind: CallbackKind,
    headers: &SignatureHeaders,
    body: Bytes,
    verified: bool,
) -> Result<InboxId, String> {
    let received = Received {
        channel: Channel::WechatPay,
        kind,
        headers: serde_json::to_string(headers).map_err(|error| error.to_string())?,
        body: body.into(),
        verified,
    };
    match tokio::time::timeout(STORE_TIMEOUT, state.inbox.store(received)).await {
        Ok(stored) => stored.map_err(|error| error.to_string()),
        Err(_) => Err("the inbox did not respond in time".to_owned()),
    }
}

/// Enqueues the job of a stored callback. When that fails, the sweeper does it.
async fn enqueue(state: Callbacks, trace: Trace, inbox_id: InboxId) {
    let callback = Callback { inbox_id };
    let job = NewJob::from_job(&callback).traced(trace.0.to_string());
    let attempt = state.queue.enqueue(job);
    match tokio::time::timeout(ENQUEUE_TIMEOUT, attempt).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::warn!(%error, "callback left to the sweeper"),
        Err(_) => tracing::warn!("callback left to the sweeper, the queue did not respond"),
    }
}

/// Counts a callback that could not be verified against the limit of its address; returns the response if
/// the limit is exceeded. WeChat repeats a genuine one, which can be verified as soon as its key is fetched.
async fn limit(limits: &RateLimits, ClientAddress(address): ClientAddress) -> Option<Response> {
    let sender = Counted::address(address);
    let exceeded = limits.exceeded(Limit::UnverifiedCallbacks, &sender, NonZeroU32::MIN);
    let wait = exceeded.await?.retry_after.as_secs_f64().ceil();
    let mut response = fail(StatusCode::TOO_MANY_REQUESTS, "try again later");
    if let Ok(wait) = HeaderValue::from_str(&wait.to_string()) {
        response.headers_mut().insert(header::RETRY_AFTER, wait);
    }
    Some(response)
}

/// The same response to every forgery, whatever is wrong with it.
fn not_authentic() -> Response {
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
