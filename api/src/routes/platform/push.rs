//! `/api/wx/push`: WeChat's message push, and the verification of its URL.

use std::time::Instant;

use avalon_core::base::problem::{Problem, ProblemCode};
use avalon_wechat::message_push::PushQuery;
use axum::Extension;
use axum::extract::{FromRef, Query, Request, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::PushEndpoint;
use super::push_endpoint::Answer;
use crate::http::extract::read;
use crate::http::problem::ApiError;
use crate::http::problem_sets::problems;
use crate::middleware::metrics::{PushLabel, PushMetrics};
use crate::middleware::trace_context::Trace;
use crate::state::{App, sub_states};

/// Maximum size of a push in bytes. WeChat's have a few thousand.
const MAX_BYTES: usize = 64 * 1024;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(verify, receive))
}

/// What pushes are received with.
#[derive(Clone)]
struct Pushes {
    endpoint: Option<PushEndpoint>,
    metrics: PushMetrics,
}

sub_states! { App as state =>
    Pushes: Self {
        endpoint: FromRef::from_ref(state),
        metrics: FromRef::from_ref(state),
    };
}

problems! { VerifyProblems: ; NotFound SignatureInvalid RequestTimeout }
problems! { ReceiveProblems: DATABASE; NotFound SignatureInvalid BodyTooLarge }

/// Verifies the URL of the message push for WeChat.
///
/// WeChat calls it once, when the URL is entered in its console.
#[utoipa::path(
    get,
    path = "/api/wx/push",
    operation_id = "verifyPushUrl",
    tag = "callbacks",
    params(
        ("signature" = String, Query, description = "Signs token, timestamp and nonce"),
        ("timestamp" = String, Query, description = "Unix seconds"),
        ("nonce" = String, Query, description = "Random"),
        ("echostr" = String, Query, description = "The text to answer"),
    ),
    responses(
        (status = 200, description = "`echostr`, unchanged", body = String, content_type = "text/plain"),
        VerifyProblems,
    ),
)]
async fn verify(State(state): State<Pushes>, uri: Uri) -> Result<Response, ApiError> {
    let endpoint = state.endpoint.ok_or_else(not_configured)?;
    let query = parse(&uri);
    match endpoint.receiver.verify_url(&query, Timestamp::now()) {
        Ok(echo) => Ok(text("text/plain; charset=utf-8", echo.to_owned())),
        Err(error) => {
            tracing::info!(%error, "verification of the push URL refused");
            Err(ProblemCode::SignatureInvalid.into())
        }
    }
}

/// Receives a message that WeChat pushes.
///
/// It is stored before it is acknowledged. WeChat repeats a push that was not acknowledged.
#[utoipa::path(
    post,
    path = "/api/wx/push",
    operation_id = "receivePush",
    tag = "callbacks",
    request_body(
        content((Object = "application/json"), (String = "text/xml")),
        description = "A message, in secure mode encrypted in `Encrypt`",
    ),
    params(
        ("timestamp" = String, Query, description = "Unix seconds, at most `push.max_skew` from our time"),
        ("nonce" = String, Query, description = "Random"),
        ("msg_signature" = Option<String>, Query, description = "Signs an encrypted message"),
        ("signature" = Option<String>, Query, description = "Signs only the query; decides in plain mode alone"),
        ("encrypt_type" = Option<String>, Query, description = "`aes` for encrypted messages"),
    ),
    responses(
        (
            status = 200,
            description = "Stored. `success`, or `ErrCode` and `ErrMsg` in the format of the push, as the event \
                           requires; an `ErrCode` other than 0 makes WeChat repeat the push",
            content((String = "text/plain"), (Object = "application/json"), (String = "text/xml")),
        ),
        ReceiveProblems,
    ),
)]
async fn receive(
    State(state): State<Pushes>,
    Extension(trace): Extension<Trace>,
    request: Request,
) -> Result<Response, ApiError> {
    let started = Instant::now();
    let endpoint = state.endpoint.ok_or_else(not_configured)?;
    let (parts, body) = request.into_parts();
    let body = match read(body, &parts.headers, MAX_BYTES).await {
        Ok(body) => body,
        Err(error) => {
            state.metrics.refused(PushLabel::Refused);
            return Err(error);
        }
    };
    let received = endpoint.receive(&parse(&parts.uri), &body, trace).await;
    state
        .metrics
        .received(received.event, received.label, started.elapsed());
    match received.answer {
        Answer::Stored(answer) => Ok(text(answer.content_type, answer.body)),
        Answer::NotAuthentic => Err(ProblemCode::SignatureInvalid.into()),
        Answer::NotStored => Err(ProblemCode::StoreUnavailable.into()),
    }
}

/// Reads the query. One that cannot be read has no signature.
fn parse(uri: &Uri) -> PushQuery {
    Query::try_from_uri(uri).map_or_else(|_| PushQuery::default(), |Query(query)| query)
}

fn not_configured() -> ApiError {
    Problem::new(ProblemCode::NotFound)
        .with_detail("The message push is not configured.")
        .into()
}

fn text(content_type: &'static str, body: String) -> Response {
    (StatusCode::OK, [(header::CONTENT_TYPE, content_type)], body).into_response()
}
