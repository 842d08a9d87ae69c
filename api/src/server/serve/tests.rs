//! The bounds, each with a client that exceeds it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use avalon_test_support::TestCertificates;
use axum::body::Body;
use axum::response::IntoResponse;
use axum::routing::get;
use futures_util::stream;
use prometheus::Registry;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;

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

#[tokio::test]
async fn head_larger_than_the_bound_is_rejected() {
    let (address, _) = start(router(), Bounds::operators()).await;
    let with = |size: usize| {
        format!(
            "GET / HTTP/1.1\r\nhost: x\r\nx-long: {}\r\n",
            "x".repeat(size)
        )
    };
    let mut stream = TcpStream::connect(address).await.unwrap();
    send(&mut stream, &(with(14_000) + "\r\n")).await;
    assert!(
        read_until(&mut stream, "hello")
            .await
            .starts_with("HTTP/1.1 200")
    );
    // Unfinished, so only its size can be the reason.
    let mut stream = TcpStream::connect(address).await.unwrap();
    send(&mut stream, &with(17_000)).await;
    let response = read_until(&mut stream, "\r\n\r\n").await;
    assert!(response.starts_with("HTTP/1.1 431"), "{response}");
}

#[tokio::test]
async fn more_than_100_headers_are_rejected() {
    let (address, _) = start(router(), Bounds::operators()).await;
    for (headers, status) in [(99, "200"), (100, "431")] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let headers = "x: y\r\n".repeat(headers);
        send(
            &mut stream,
            &format!("GET / HTTP/1.1\r\nhost: x\r\n{headers}\r\n"),
        )
        .await;
        let response = read_until(&mut stream, "\r\n\r\n").await;
        assert!(
            response.starts_with(&format!("HTTP/1.1 {status}")),
            "{response}"
        );
    }
}

#[tokio::test]
async fn head_that_trickles_is_cut() {
    let (address, registry) = start(router(), bounds()).await;
    // The first head of a connection and a later one; neither may extend its time byte by byte.
    for begin in ["", REQUEST] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        send(&mut stream, begin).await;
        if !begin.is_empty() {
            read_until(&mut stream, "hello").await;
        }
        let before = cut(&registry, "head");
        let started = Instant::now();
        send(&mut stream, "GET / HTTP/1.1\r\n").await;
        while cut(&registry, "head") == before {
            assert!(started.elapsed() < PATIENT, "it is cut");
            // Fails once it is cut.
            let _ = stream.write_all(b"x").await;
            sleep(Duration::from_millis(20)).await;
        }
        assert!(
            started.elapsed() < Duration::from_secs(2),
            "{:?}",
            started.elapsed()
        );
    }
}

#[tokio::test]
async fn silent_connections_are_cut() {
    let mut bounds = bounds();
    bounds.timeouts.idle = Duration::from_millis(300);
    bounds.timeouts.head = Duration::from_millis(200);
    let (address, registry) = start(router(), bounds).await;
    let mut silent = TcpStream::connect(address).await.unwrap();
    let mut served = TcpStream::connect(address).await.unwrap();
    send(&mut served, REQUEST).await;
    read_until(&mut served, "hello").await;
    assert_eq!(read_all(&mut silent).await, "");
    assert_eq!(read_all(&mut served).await, "");
    assert_eq!((cut(&registry, "head"), cut(&registry, "idle")), (1.0, 1.0));
    wait_for("no open connections", || open(&registry) == 0.0).await;
}

#[tokio::test]
async fn slow_responses_and_streams_are_not_cut() {
    let (address, registry) = start(router(), bounds()).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    send(&mut stream, "GET /late HTTP/1.1\r\nhost: x\r\n\r\n").await;
    read_until(&mut stream, "late").await;
    send(&mut stream, "GET /events HTTP/1.1\r\nhost: x\r\n\r\n").await;
    read_until(&mut stream, "event 2\n").await;
    // The connection continues: the next head has its full time.
    sleep(Duration::from_millis(500)).await;
    send(&mut stream, REQUEST).await;
    read_until(&mut stream, "hello").await;
    assert_eq!(cut(&registry, "head") + cut(&registry, "idle"), 0.0);
}

/// A connection whose client receives little at once.
async fn narrow(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(address).await.unwrap()
}

#[tokio::test]
async fn client_that_never_reads_is_cut() {
    let mut bounds = bounds();
    bounds.timeouts.write = Duration::from_millis(400);
    let (address, registry) = start(router(), bounds).await;
    let mut stream = narrow(address).await;
    send(&mut stream, "GET /large HTTP/1.1\r\nhost: x\r\n\r\n").await;
    wait_for("the stalled connection is cut", || {
        cut(&registry, "write") == 1.0
    })
    .await;
    wait_for("no open connections", || open(&registry) == 0.0).await;
}

#[tokio::test]
async fn client_that_reads_slowly_is_served() {
    let mut bounds = bounds();
    bounds.timeouts.write = Duration::from_millis(400);
    let (address, registry) = start(router(), bounds).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    send(
        &mut stream,
        "GET /large HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    )
    .await;
    let (mut seen, mut buffer) = (0, vec![0; 256 * 1024]);
    while seen < 4 << 20 {
        let read = timeout(PATIENT, stream.read(&mut buffer))
            .await
            .unwrap()
            .unwrap();
        assert!(read > 0, "cut after {seen} bytes");
        seen += read;
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(cut(&registry, "write"), 0.0);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn kernel_holds_little_for_a_client_that_never_reads() {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let bounds = bounds();
    bounds.apply(&socket).unwrap();
    let _client = narrow(socket.local_addr().unwrap()).await;
    let (accepted, _) = socket.accept().await.unwrap();
    let mut buffered = 0;
    while timeout(Duration::from_millis(100), accepted.writable())
        .await
        .is_ok()
    {
        buffered += accepted.try_write(&[0; 16 * 1024]).unwrap_or(0);
    }
    assert!(buffered < 96 * 1024, "{buffered}");
    let timeout = u32::try_from(bounds.timeouts.write.as_millis()).unwrap();
    assert_eq!(
        rustix::net::sockopt::tcp_user_timeout(&accepted).unwrap(),
        timeout
    );
}

#[tokio::test]
async fn connections_beyond_the_bound_wait_until_others_are_cut() {
    let bounds = Bounds {
        connections: 4,
        ..bounds()
    };
    let (address, registry) = start(router(), bounds).await;
    let mut halves = Vec::new();
    for _ in 0..4 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        send(&mut stream, "GET / HTTP/1.1\r\n").await;
        halves.push(stream);
    }
    wait_for("all are open", || open(&registry) == 4.0).await;
    let mut waiting = TcpStream::connect(address).await.unwrap();
    send(&mut waiting, REQUEST).await;
    read_until(&mut waiting, "hello").await;
    assert!(cut(&registry, "head") >= 1.0);
    assert!(metric(&registry, "avalon_http_accept_paused_total", None) >= 1.0);
    assert_eq!(metric(&registry, "avalon_http_connections_max", None), 4.0);
}

#[tokio::test]
async fn connections_beyond_the_address_bound_are_refused() {
    let bounds = Bounds {
        connections_per_address: Some(2),
        ..bounds()
    };
    let (address, registry) = start(router(), bounds).await;
    let mut allowed = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        send(&mut stream, REQUEST).await;
        read_until(&mut stream, "hello").await;
        allowed.push(stream);
    }
    let mut refused = TcpStream::connect(address).await.unwrap();
    assert_eq!(read_all(&mut refused).await, "");
    assert_eq!((cut(&registry, "address"), open(&registry)), (1.0, 2.0));
    // An allowed one ends, and another may follow.
    allowed.pop();
    wait_for("one is closed", || open(&registry) == 1.0).await;
    let mut next = TcpStream::connect(address).await.unwrap();
    send(&mut next, REQUEST).await;
    read_until(&mut next, "hello").await;
}

#[tokio::test]
async fn bounds_apply_within_tls() {
    let certificates = TestCertificates::make();
    let (certificate, key) = (certificates.certificate.into(), certificates.key.into());
    let tls = Tls::new(&certificate, &key).unwrap();
    let mut bounds = bounds();
    bounds.timeouts.write = Duration::from_millis(400);
    let (address, registry) = start_with(router(), bounds, Some(tls)).await;
    let client = trusting(&certificates.authority);
    let connect = async |stream: TcpStream| {
        let name = "localhost".try_into().unwrap();
        client.connect(name, stream).await.unwrap()
    };
    // A complete request, then half a head.
    let mut stream = connect(TcpStream::connect(address).await.unwrap()).await;
    send(&mut stream, REQUEST).await;
    read_until(&mut stream, "hello").await;
    send(&mut stream, "GET / HTTP/1.1\r\n").await;
    assert_eq!(read_all(&mut stream).await, "");
    assert_eq!(cut(&registry, "head"), 1.0);
    // A client that never reads.
    let mut stalled = connect(narrow(address).await).await;
    send(&mut stalled, "GET /large HTTP/1.1\r\nhost: x\r\n\r\n").await;
    wait_for("the stalled connection is cut", || {
        cut(&registry, "write") == 1.0
    })
    .await;
    wait_for("no open connections", || open(&registry) == 0.0).await;
}

fn trusting(authority: &str) -> TlsConnector {
    let mut roots = rustls::RootCertStore::empty();
    let authority = CertificateDer::from_pem_slice(authority.as_bytes()).unwrap();
    roots.add(authority).unwrap();
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let config = rustls::ClientConfig::builder_with_provider(provider.into());
    let config = config.with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    TlsConnector::from(std::sync::Arc::new(config))
}
