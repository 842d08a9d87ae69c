//! Serving a router, over TLS when there is a certificate: time limits on slow clients, and an end that
//! lets requests finish.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::middleware::AddExtension;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use prometheus::IntGauge;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tower::Layer;

use crate::server::tls::Tls;

/// How long a client may take to send a request's head; also how long an idle connection is kept.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a client may take to agree on TLS.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection that is counted while it is open.
struct Counted(IntGauge);

impl Counted {
    fn new(open: IntGauge) -> Self {
        open.inc();
        Self(open)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

type Service = TowerToHyperService<AddExtension<Router, ConnectInfo<SocketAddr>>>;

/// Serves until `stop`, over TLS alone when `tls` is given; then takes no more connections, and gives
/// requests that are under way `grace` to finish. Connections are counted in `open`.
///
/// # Errors
/// Never at present; accepting goes on after errors, since they pass (too many open files, say).
pub async fn serve(
    listener: TcpListener,
    router: Router,
    tls: Option<Tls>,
    stop: CancellationToken,
    grace: Duration,
    open: Option<IntGauge>,
) -> io::Result<()> {
    let connections = GracefulShutdown::new();
    let mut server = http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let peer = Extension(ConnectInfo(peer)).layer(router.clone());
        let service: Service = TowerToHyperService::new(peer);
        let (server, watcher) = (server.clone(), connections.watcher());
        let (tls, stop) = (tls.clone(), stop.clone());
        let counted = open.clone().map(Counted::new);
        tokio::spawn(async move {
            let _counted = counted;
            match tls {
                None => talk(stream, service, &server, watcher).await,
                Some(tls) => tokio::select! {
                    // Nothing was asked yet that could be finished.
                    () = stop.cancelled() => {}
                    Some(stream) = handshake(&tls, stream) => {
                        talk(stream, service, &server, watcher).await;
                    }
                    else => {}
                },
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(grace, connections.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("the grace is over; requests under way are cut off");
    }
    Ok(())
}

async fn talk<I>(io: I, service: Service, server: &http1::Builder, watcher: Watcher)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let connection = server.serve_connection(TokioIo::new(io), service);
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// In the connection's own task, so that a slow client holds up nobody else.
async fn handshake(tls: &Tls, stream: TcpStream) -> Option<TlsStream<TcpStream>> {
    match tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.acceptor().accept(stream)).await {
        Ok(Ok(stream)) => Some(stream),
        Ok(Err(error)) => {
            tracing::debug!(%error, "a client did not agree on TLS");
            None
        }
        Err(_) => {
            tracing::debug!("a client was too slow to agree on TLS");
            None
        }
    }
}
