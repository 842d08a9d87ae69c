//! Where a job stands in a distributed trace (W3C trace context). Spans become steps of a trace here;
//! whether any are exported, and where to, is decided by whoever sets up the process's logging.

use std::future::Future;

use opentelemetry::trace::{
    SpanContext, SpanId, Status, TraceContextExt, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{Context, Value};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

tokio::task_local! {
    /// The `traceparent` of the job that this task runs.
    static JOB: Option<String>;
}

/// Makes a span that was not entered yet the next step after `parent` (a `traceparent`), or the first
/// of a new trace. The span needs the empty fields `otel.kind` and `otel.name`; `kind` is `server`,
/// `consumer` or another of OpenTelemetry's. Answers the span's own `traceparent`; none where spans
/// are not exported, which costs next to nothing.
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

/// The `traceparent` for whatever is caused from here: by the current span, where spans are exported,
/// else by the job that is being run.
pub fn current() -> Option<String> {
    traceparent_of(&Span::current()).or_else(|| JOB.try_with(Clone::clone).ok().flatten())
}

/// Adds a fact to an exported span that is too much for a log line.
pub fn note(span: &Span, name: &'static str, value: impl Into<Value>) {
    span.set_attribute(name, value.into());
}

/// Marks an exported span as failed.
pub fn failed(span: &Span, why: impl Into<String>) {
    span.set_status(Status::error(why.into()));
}

/// Runs a job's attempt as part of its trace.
pub(crate) async fn within<F: Future>(traceparent: Option<String>, attempt: F) -> F::Output {
    JOB.scope(traceparent, attempt).await
}

fn traceparent_of(span: &Span) -> Option<String> {
    let context = span.context();
    let place = context.span().span_context().clone();
    let flags = u8::from(place.is_sampled());
    place
        .is_valid()
        .then(|| format!("00-{}-{}-{flags:02x}", place.trace_id(), place.span_id()))
}

/// Jobs and requests bring only what was checked before.
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
    fn without_an_exporter_a_span_has_no_place_in_a_trace() {
        let span = tracing::info_span!(
            "x",
            otel.kind = tracing::field::Empty,
            otel.name = tracing::field::Empty
        );
        assert_eq!(begin(&span, None, "server", || "x".to_owned()), None);
        assert_eq!(current(), None);
    }

    #[tokio::test]
    async fn what_a_job_causes_belongs_to_its_trace() {
        let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let seen = within(Some(traceparent.to_owned()), async { current() }).await;
        assert_eq!(seen.as_deref(), Some(traceparent));
        assert_eq!(current(), None);
    }

    #[test]
    fn a_traceparent_is_read() {
        let context =
            context_of("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").unwrap();
        assert_eq!(context.span_id().to_string(), "00f067aa0ba902b7");
        assert!(context.is_sampled() && context.is_remote());
        assert!(context_of("odd").is_none());
    }
}
