//! What every public request goes through: an id, a trace, a time limit, one log line, metrics, and
//! the problem's body when it fails. Inner to outer, so that nothing is answered without it.

use std::any::Any;
use std::time::Instant;

use crate::middleware::trace_context::TraceParent;
use avalon_core::base::problem::{Problem, ProblemCode};
use avalon_queue::trace;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::field::Empty;
use tracing::{Instrument, Span};

use crate::http::problem::{ApiError, render};
use crate::state::ApiState;

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The request's place in a trace, for the jobs that it enqueues.
#[derive(Clone, Debug)]
pub(crate) struct Trace(pub(crate) TraceParent);

pub(crate) async fn run(
    State(state): State<ApiState>,
    matched: Option<MatchedPath>,
    mut request: Request,
    next: Next,
) -> Response {
    let begun = Instant::now();
    let id = request_id(request.headers());
    let caller = caller_of(request.headers());
    let method = request.method().clone();
    let route = matched
        .as_ref()
        .map_or("unmatched", MatchedPath::as_str)
        .to_owned();
    let span = tracing::info_span!(
        "request",
        request_id = id,
        trace_id = Empty,
        %method,
        route,
        otel.kind = Empty,
        otel.name = Empty
    );
    let trace = begin_trace(&span, caller, &method, &route);
    span.record("trace_id", trace.trace_id());
    request.extensions_mut().insert(Trace(trace));

    let limited = tokio::time::timeout(state.request_timeout, next.run(request));
    let mut response = match limited.instrument(span.clone()).await {
        Ok(response) => response,
        Err(_) => ApiError::from(ProblemCode::RequestTimeout).into_response(),
    };

    let problem = response.extensions_mut().remove::<ApiError>();
    let code = problem.as_ref().map(|ApiError(problem)| problem.code);
    if let Some(ApiError(problem)) = problem {
        // Written again, now with the id; other headers of the response stay.
        let told = render(&problem.with_request_id(&id));
        let (parts, body) = told.into_parts();
        response.headers_mut().extend(parts.headers);
        response.headers_mut().remove(header::CONTENT_LENGTH);
        *response.body_mut() = body;
    }
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(&REQUEST_ID, value);
    }
    if state.draining.is_cancelled() {
        // The client's next request goes elsewhere.
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    let (status, elapsed) = (response.status().as_u16(), begun.elapsed());
    state
        .http_metrics
        .answered(method_label(&method), &route, status, elapsed);
    trace::note(&span, "http.response.status_code", i64::from(status));
    if status >= 500 {
        let why = code.map_or_else(|| status.to_string(), |code| code.to_string());
        trace::failed(&span, why);
    }
    span.in_scope(|| {
        let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        match code {
            Some(code) if status >= 500 => tracing::error!(status, elapsed_ms, %code, "answered"),
            Some(code) => tracing::info!(status, elapsed_ms, %code, "answered"),
            None => tracing::info!(status, elapsed_ms, "answered"),
        }
    });
    response
}

/// A handler panicked: the client is told, the process goes on.
pub(crate) fn panicked(_: Box<dyn Any + Send>) -> Response {
    // The panic's own message is on stderr already, by the standard hook.
    ApiError::from(Problem::new(ProblemCode::Internal)).into_response()
}

/// The client's own id when it is harmless in logs and headers, else a new one.
fn request_id(headers: &HeaderMap) -> String {
    let harmless = |id: &&str| {
        (1..=64).contains(&id.len())
            && id
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    headers
        .get(&REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .filter(harmless)
        .map_or_else(|| ulid::Ulid::generate().to_string(), str::to_owned)
}

/// The caller's place in a trace.
fn caller_of(headers: &HeaderMap) -> Option<TraceParent> {
    headers.get("traceparent")?.to_str().ok()?.parse().ok()
}

/// A step of the caller's trace, or the beginning of a new one.
fn begin_trace(
    span: &Span,
    caller: Option<TraceParent>,
    method: &Method,
    route: &str,
) -> TraceParent {
    let parent = caller.map(|caller| caller.to_string());
    let name = || format!("{} {route}", method_label(method));
    trace::begin(span, parent.as_deref(), "server", name)
        .and_then(|step| step.parse().ok())
        .unwrap_or_else(|| caller.map_or_else(TraceParent::new_root, |caller| caller.child()))
}

/// Methods are free text in HTTP; labels are not.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clients_request_id_is_kept_only_when_it_is_harmless() {
        let with = |id: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(&REQUEST_ID, HeaderValue::from_str(id).unwrap());
            request_id(&headers)
        };
        assert_eq!(with("abc-1.2_3"), "abc-1.2_3");
        let long = "x".repeat(65);
        for odd in ["", "a b", "a\"b", "<script>", long.as_str()] {
            assert_ne!(with(odd), odd);
        }
    }
}
