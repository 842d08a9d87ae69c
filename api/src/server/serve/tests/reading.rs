//! Bounds on clients that do not read, and the same bounds within TLS.

use std::convert::Infallible;
use std::sync::Arc;

use avalon_test_support::TestCertificates;
use axum::response::sse::{Event, Sse};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::net::TcpSocket;
use tokio_rustls::TlsConnector;

use super::*;

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

/// Server-sent events without end, and what they need.
async fn ticks(held: Arc<()>) -> impl IntoResponse {
    Sse::new(stream::unfold(held, |held| async move {
        sleep(Duration::from_millis(1)).await;
        let event = Event::default().data("x".repeat(1024));
        Some((Ok::<_, Infallible>(event), held))
    }))
}

#[tokio::test]
async fn consumer_of_events_that_stops_reading_is_cut() {
    let mut bounds = bounds();
    bounds.timeouts.write = Duration::from_millis(400);
    let held = Arc::new(());
    let weak = Arc::downgrade(&held);
    let route = get(async move || ticks(Arc::clone(&held)).await);
    let (address, registry) = start(router().route("/ticks", route), bounds).await;
    let mut stream = narrow(address).await;
    send(&mut stream, "GET /ticks HTTP/1.1\r\nhost: x\r\n\r\n").await;
    read_until(&mut stream, "data: x").await;
    assert_eq!(
        weak.strong_count(),
        2,
        "one of the route, one of the stream"
    );
    wait_for("the stalled consumer is cut", || {
        cut(&registry, "write") == 1.0
    })
    .await;
    wait_for("what its stream held is freed", || weak.strong_count() == 1).await;
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
