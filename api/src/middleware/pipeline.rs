//! The outermost layer of both listeners' routers: request id, trace, time limit, one log line, metrics, and
//! the body of a problem, which carries the request id.

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

use avalon_core::base::problem::{Problem, ProblemCode};
use avalon_queue::trace;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio_util::sync::CancellationToken;
use tracing::field::Empty;
use tracing::{Instrument, Span};

use crate::http::problem::{ApiError, render};
use crate::middleware::metrics::HttpMetrics;
use crate::middleware::trace_context::{Trace, TraceParent};

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Routes of the ops listener that the platform and Prometheus poll.
const PROBES: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

/// What the pipeline works with.
pub(crate) struct Pipeline {
    pub(crate) request_timeout: Duration,
    /// `None`: requests are not counted.
    pub(crate) metrics: Option<HttpMetrics>,
    /// Cancelled when the process begins to stop.
    pub(crate) draining: CancellationToken,
}

pub(crate) async fn run(
    State(pipeline): State<Arc<Pipeline>>,
    matched: Option<MatchedPath>,
    mut request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let id = request_id(request.headers());
    let parent = TraceParent::from_headers(request.headers());
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
    let trace = begin_trace(&span, parent, &method, &route);
    span.record("trace_id", trace.trace_id());
    request.extensions_mut().insert(Trace(trace));

    let limited = tokio::time::timeout(pipeline.request_timeout, next.run(request));
    let mut response = match limited.instrument(span.clone()).await {
        Ok(response) => response,
        Err(_) => ApiError::from(ProblemCode::RequestTimeout).into_response(),
    };

    let problem = response.extensions_mut().remove::<ApiError>();
    let code = problem.as_ref().map(|ApiError(problem)| problem.code);
    if let Some(ApiError(problem)) = problem {
        // Only the body is rendered again, now with the request id: the headers are the response's own, such
        // as the board's challenge.
        *response.body_mut() = render(&problem.with_request_id(&id)).into_body();
        response.headers_mut().remove(header::CONTENT_LENGTH);
    }
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(&REQUEST_ID, value);
    }
    if pipeline.draining.is_cancelled() {
        // The client opens a new connection for its next request, to another process.
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    let (status, elapsed) = (response.status().as_u16(), started.elapsed());
    if let Some(metrics) = &pipeline.metrics {
        metrics.record(method_label(&method), &route, status, elapsed);
    }
    trace::note(&span, "http.response.status_code", i64::from(status));
    if status >= 500 {
        let why = code.map_or_else(|| status.to_string(), |code| code.to_string());
        trace::failed(&span, why);
    }
    span.in_scope(|| {
        let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        match code {
            Some(code) if status >= 500 => {
                tracing::error!(status, elapsed_ms, %code, "request completed");
            }
            Some(code) => tracing::info!(status, elapsed_ms, %code, "request completed"),
            // Every few seconds, and of no interest.
            None if PROBES.contains(&route.as_str()) => {
                tracing::debug!(status, elapsed_ms, "request completed");
            }
            None => tracing::info!(status, elapsed_ms, "request completed"),
        }
    });
    response
}

/// The response of a handler that panicked.
pub(crate) fn panicked(_: Box<dyn Any + Send>) -> Response {
    // The panic hook has already logged the message.
    ApiError::from(Problem::new(ProblemCode::Internal)).into_response()
}

/// Returns the id that the client sent if it is safe in logs and headers, else a new one.
fn request_id(headers: &HeaderMap) -> String {
    let is_safe = |id: &&str| {
        (1..=64).contains(&id.len())
            && id
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    headers
        .get(&REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .filter(is_safe)
        .map_or_else(|| ulid::Ulid::generate().to_string(), str::to_owned)
}

/// Makes the span a child of the client's, or the root of a new trace. Without an exporter, spans have
/// no ids, and the trace context is created here.
fn begin_trace(
    span: &Span,
    parent: Option<TraceParent>,
    method: &Method,
    route: &str,
) -> TraceParent {
    let traceparent = parent.map(|parent| parent.to_string());
    let name = || format!("{} {route}", method_label(method));
    trace::begin(span, traceparent.as_deref(), "server", name)
        .and_then(|traceparent| traceparent.parse().ok())
        .unwrap_or_else(|| parent.map_or_else(TraceParent::new_root, |parent| parent.child()))
}

/// Bounds the label: clients can send any text as a method.
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
    use axum::Router;
    use axum::body::{Body, to_bytes};
    use axum::middleware::from_fn_with_state;
    use axum::routing::get;
    use prometheus::Registry;
    use tower::ServiceExt;

    use super::*;

    #[test]
    fn request_id_of_a_client_is_used_only_if_safe() {
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

    fn router(pipeline: Pipeline) -> Router {
        async fn fail() -> ApiError {
            ProblemCode::StoreUnavailable.into()
        }
        Router::new()
            .route("/fail", get(fail))
            .route("/hang", get(std::future::pending::<()>))
            .layer(from_fn_with_state(Arc::new(pipeline), run))
    }

    fn pipeline() -> Pipeline {
        Pipeline {
            request_timeout: Duration::from_millis(20),
            metrics: Some(HttpMetrics::new(&Registry::new()).unwrap()),
            draining: CancellationToken::new(),
        }
    }

    #[tokio::test]
    async fn problem_has_the_request_id_and_retry_after() {
        for (path, code) in [
            ("/fail", ProblemCode::StoreUnavailable),
            ("/hang", ProblemCode::RequestTimeout),
        ] {
            let request = Request::get(path).header(&REQUEST_ID, "r-1");
            let request = request.body(Body::empty()).unwrap();
            let response = router(pipeline()).oneshot(request).await.unwrap();
            let (parts, body) = response.into_parts();
            assert_eq!(parts.status, 503);
            assert_eq!(parts.headers[&REQUEST_ID], "r-1");
            assert_eq!(parts.headers[header::RETRY_AFTER], "1");
            let body = to_bytes(body, usize::MAX).await.unwrap();
            let problem: Problem = serde_json::from_slice(&body).unwrap();
            let request_id = problem.request_id.as_deref();
            assert_eq!((problem.code, request_id), (code, Some("r-1")));
        }
    }

    #[tokio::test]
    async fn draining_process_closes_connections() {
        let (running, draining) = (pipeline(), pipeline());
        draining.draining.cancel();
        for (pipeline, close) in [(running, false), (draining, true)] {
            let request = Request::get("/fail").body(Body::empty()).unwrap();
            let response = router(pipeline).oneshot(request).await.unwrap();
            assert_eq!(response.headers().contains_key(header::CONNECTION), close);
        }
    }
}
