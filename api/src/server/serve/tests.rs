//! The bounds, each with a client that exceeds it.

mod heads;
mod places;
mod reading;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::response::IntoResponse;
use axum::routing::get;
use futures_util::stream;
use prometheus::Registry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::*;
use crate::server::bounds::Timeouts;

/// More than any of the bounds in these tests.
const PATIENT: Duration = Duration::from_secs(10);

/// Serves a router on a port of its own; returns its address and metrics.
pub(in crate::server) async fn start(router: Router, bounds: Bounds) -> (SocketAddr, Registry) {
    start_with(router, bounds, None).await
}

async fn start_with(router: Router, bounds: Bounds, tls: Option<Tls>) -> (SocketAddr, Registry) {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let registry = Registry::new();
    let endpoint = Endpoint {
        socket,
        tls,
        bounds,
        metrics: ConnectionMetrics::new(&registry).unwrap(),
    };
    let stop = CancellationToken::new();
    tokio::spawn(serve(endpoint, router, stop, Duration::ZERO));
    (address, registry)
}

fn bounds() -> Bounds {
    Bounds {
        timeouts: Timeouts {
            head: Duration::from_millis(300),
            idle: PATIENT,
            write: PATIENT,
        },
        ..Bounds::operators()
    }
}

fn router() -> Router {
    Router::new()
        .route("/", get(async || "hello"))
        .route("/large", get(async || vec![b'x'; 4 << 20]))
        .route("/late", get(late))
        .route("/events", get(events))
}

/// Takes longer than the head may.
async fn late() -> &'static str {
    sleep(Duration::from_millis(600)).await;
    "late"
}

/// A stream that is silent for longer than the head may take.
async fn events() -> impl IntoResponse {
    Body::from_stream(stream::unfold(0, |event| async move {
        sleep(Duration::from_millis(400)).await;
        (event < 3).then(|| (Ok::<_, io::Error>(format!("event {event}\n")), event + 1))
    }))
}

/// The value of a metric, in the text form without labels' quotes.
fn metric(registry: &Registry, name: &str, bound: Option<&str>) -> f64 {
    let families = registry.gather();
    let family = families
        .iter()
        .find(|family| family.name() == name)
        .unwrap();
    let metric = family.get_metric().iter().find(|metric| {
        bound.is_none_or(|bound| {
            metric
                .get_label()
                .iter()
                .any(|label| label.value() == bound)
        })
    });
    let metric = metric.unwrap();
    metric.get_counter().get_value() + metric.get_gauge().get_value()
}

fn cut(registry: &Registry, bound: &str) -> f64 {
    metric(registry, "avalon_http_connections_cut_total", Some(bound))
}

fn open(registry: &Registry) -> f64 {
    metric(registry, "avalon_http_connections", None)
}

async fn send(stream: &mut (impl AsyncWriteExt + Unpin), text: &str) {
    stream.write_all(text.as_bytes()).await.unwrap();
}

/// Reads until the connection ends, also by a reset, and returns what came.
async fn read_all(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut seen = Vec::new();
    let read = timeout(PATIENT, stream.read_to_end(&mut seen)).await;
    let _ = read.expect("the connection ends in time");
    String::from_utf8_lossy(&seen).into_owned()
}

/// Reads until the text appears.
async fn read_until(stream: &mut (impl AsyncReadExt + Unpin), text: &str) -> String {
    let mut seen = String::new();
    let mut buffer = [0; 4096];
    while !seen.contains(text) {
        let read = timeout(PATIENT, stream.read(&mut buffer)).await;
        let read = read.expect("a response in time").unwrap();
        assert!(read > 0, "the connection ended after {seen:?}");
        seen.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
    seen
}

async fn wait_for(what: &str, reached: impl Fn() -> bool) {
    let started = Instant::now();
    while !reached() {
        assert!(started.elapsed() < PATIENT, "not reached: {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

const REQUEST: &str = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
