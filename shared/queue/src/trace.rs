//! W3C trace context of jobs: spans are linked to the request or job that caused them. Whether and
//! where spans are exported is configured where the process sets up tracing, not here.

use std::future::Future;

use opentelemetry::trace::{
    SpanContext, SpanId, Status, TraceContextExt, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{Context, Value};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

tokio::task_local! {
    /// `traceparent` of the job that this task runs.
    static JOB: Option<String>;
}

/// Makes a span that was not entered yet the child of `parent` (a `traceparent`), or the root of a new
/// trace. The span needs the empty fields `otel.kind` and `otel.name`; `kind` is one of OpenTelemetry's
/// span kinds, such as `server` or `consumer`. Returns the span's own `traceparent`; none if spans are
/// not exported.
pub fn begin(
    span: &Span,
    parent: Option<&str>,
    kind: &str,
    name: impl FnOnce() -> String,
) -> Option<String> {
    let parent = match parent.and_then(context_of) {
        Some(parent) => Context::new().with_remote_span_context(parent),
        None => Context::new(),
    };
    span.set_parent(parent).ok()?;
    span.record("otel.kind", kind);
    span.record("otel.name", name().as_str());
    traceparent_of(span)
}

/// Returns the `traceparent` to propagate: that of the current span if spans are exported, else that
/// of the job that this task runs.
pub fn current() -> Option<String> {
    traceparent_of(&Span::current()).or_else(|| JOB.try_with(Clone::clone).ok().flatten())
}

/// Sets an attribute of an exported span that is too verbose for the log.
pub fn note(span: &Span, name: &'static str, value: impl Into<Value>) {
    span.set_attribute(name, value.into());
}

/// Marks an exported span as failed.
pub fn failed(span: &Span, why: impl Into<String>) {
    span.set_status(Status::error(why.into()));
}

/// Runs an attempt with this `traceparent` as the current one.
pub(crate) async fn within<F: Future>(traceparent: Option<String>, attempt: F) -> F::Output {
    JOB.scope(traceparent, attempt).await
}

fn traceparent_of(span: &Span) -> Option<String> {
    let context = span.context();
    let span = context.span().span_context().clone();
    let flags = u8::from(span.is_sampled());
    span.is_valid()
        .then(|| format!("00-{}-{}-{flags:02x}", span.trace_id(), span.span_id()))
}

/// Parses a `traceparent` that was validated on receipt.
fn context_of(traceparent: &str) -> Option<SpanContext> {
    let mut parts = traceparent.split('-').skip(1);
    let trace = TraceId::from_hex(parts.next()?).ok()?;
    let span = SpanId::from_hex(parts.next()?).ok()?;
    let flags = u8::from_str_radix(parts.next()?, 16).ok()?;
    let flags = TraceFlags::new(flags) & TraceFlags::SAMPLED;
    Some(SpanContext::new(
        trace,
        span,
        flags,
        true,
        TraceState::default(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn span_without_exporter_has_no_traceparent() {
        let span = tracing::info_span!(
            "x",
            otel.kind = tracing::field::Empty,
            otel.name = tracing::field::Empty
        );
        assert_eq!(begin(&span, None, "server", || "x".to_owned()), None);
        assert_eq!(current(), None);
    }

    #[tokio::test]
    async fn current_traceparent_is_that_of_the_running_job() {
        let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let seen = within(Some(traceparent.to_owned()), async { current() }).await;
        assert_eq!(seen.as_deref(), Some(traceparent));
        assert_eq!(current(), None);
    }

    #[test]
    fn traceparent_is_parsed() {
        let context =
            context_of("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").unwrap();
        assert_eq!(context.span_id().to_string(), "00f067aa0ba902b7");
        assert!(context.is_sampled() && context.is_remote());
        assert!(context_of("odd").is_none());
    }
}
