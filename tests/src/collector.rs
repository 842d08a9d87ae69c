//! An OpenTelemetry collector that stores the spans it receives (OTLP over HTTP, protobuf), for checks of
//! whole traces.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message;
use tokio::net::TcpListener;

/// A running collector; it ends with the test.
pub struct Collector {
    /// Its URL, for `telemetry.otlp_endpoint`.
    pub endpoint: String,
    spans: Spans,
}

/// An exported span.
#[derive(Clone, Debug)]
pub struct Span {
    /// Trace id, hex.
    pub trace_id: String,
    /// Span id, hex.
    pub span_id: String,
    /// Parent span id, hex; empty for a root span.
    pub parent_id: String,
    /// Span name.
    pub name: String,
    /// `Server`, `Consumer`, `Client` or another.
    pub kind: SpanKind,
    /// `service.name` of the process.
    pub service: String,
}

type Spans = Arc<Mutex<Vec<Span>>>;

impl Collector {
    /// Starts it on a port of its own.
    pub async fn start() -> Self {
        let spans = Spans::default();
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", socket.local_addr().unwrap());
        let router = Router::new()
            .route("/v1/traces", post(receive))
            .with_state(Arc::clone(&spans));
        tokio::spawn(async move { axum::serve(socket, router).await });
        Self { endpoint, spans }
    }

    /// All spans that have arrived.
    pub fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap().clone()
    }
}

async fn receive(State(spans): State<Spans>, body: Bytes) -> Result<Bytes, StatusCode> {
    let request = ExportTraceServiceRequest::decode(body).map_err(|_| StatusCode::BAD_REQUEST)?;
    let mut spans = spans.lock().unwrap();
    for exported in request.resource_spans {
        let attributes = exported.resource.unwrap_or_default().attributes;
        let service = attributes.iter().find(|it| it.key == "service.name");
        let service = match service.and_then(|it| it.value.as_ref()?.value.as_ref()) {
            Some(Value::StringValue(name)) => name.clone(),
            _ => String::new(),
        };
        let found = exported
            .scope_spans
            .into_iter()
            .flat_map(|scope| scope.spans);
        spans.extend(found.map(|span| Span {
            trace_id: hex(&span.trace_id),
            span_id: hex(&span.span_id),
            parent_id: hex(&span.parent_span_id),
            kind: span.kind(),
            name: span.name,
            service: service.clone(),
        }));
    }
    // An empty response message.
    Ok(Bytes::new())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
