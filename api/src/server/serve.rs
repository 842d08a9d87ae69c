//! Serves a router, with TLS if there is a certificate: time limits for slow clients, and a graceful
//! shutdown that lets requests finish.

use std::convert::Infallible;
use std::future::ready;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::{ConnectInfo, Request};
use axum::middleware::AddExtension;
use axum::{Extension, Router};
use axum_server::accept::NoDelayAcceptor;
use axum_server::tls_rustls::RustlsAcceptor;
use axum_server::{Handle, Server};
use hyper_util::rt::TokioTimer;
use prometheus::IntGauge;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower::{Layer, Service, service_fn};

use crate::server::tls::Tls;

/// Time limit for receiving a request's head; also the idle timeout of a connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// Time limit for a TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Counts a connection while it is open.
struct OpenConnection(IntGauge);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The router for the requests of one connection.
#[derive(Clone)]
struct Connection {
    router: AddExtension<Router, ConnectInfo<SocketAddr>>,
    _open: Option<Arc<OpenConnection>>,
}

impl<B> Service<Request<B>> for Connection
where
    AddExtension<Router, ConnectInfo<SocketAddr>>: Service<Request<B>>,
{
    type Response =
        <AddExtension<Router, ConnectInfo<SocketAddr>> as Service<Request<B>>>::Response;
    type Error = <AddExtension<Router, ConnectInfo<SocketAddr>> as Service<Request<B>>>::Error;
    type Future = <AddExtension<Router, ConnectInfo<SocketAddr>> as Service<Request<B>>>::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.router.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.router.call(request)
    }
}

/// Serves until `stop`, only with TLS if `tls` is given; then accepts no more connections and gives
/// requests in progress `grace` to finish. Counts connections in `open`.
///
/// # Errors
/// Never at present; accepting continues after errors, which are temporary (too many open files).
pub async fn serve(
    listener: TcpListener,
    router: Router,
    tls: Option<Tls>,
    stop: CancellationToken,
    grace: Duration,
    open: Option<IntGauge>,
) -> io::Result<()> {
    let handle = Handle::new();
    tokio::spawn({
        let handle = handle.clone();
        async move {
            stop.cancelled().await;
            handle.graceful_shutdown(Some(grace));
        }
    });
    let mut server = Server::from_listener(listener)
        .http1_only()
        .handle(handle)
        .accept_error_handler(|_, error| tracing::debug!(%error, "connection not accepted"));
    let mut http = server.http_builder().http1();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT);
    let connections = service_fn(move |peer: SocketAddr| {
        let open = open.clone().map(|open| {
            open.inc();
            Arc::new(OpenConnection(open))
        });
        ready(Ok::<_, Infallible>(Connection {
            router: Extension(ConnectInfo(peer)).layer(router.clone()),
            _open: open,
        }))
    });
    match tls {
        None => {
            server
                .acceptor(NoDelayAcceptor::new())
                .serve(connections)
                .await
        }
        Some(tls) => {
            let acceptor = RustlsAcceptor::new(tls.config())
                .handshake_timeout(HANDSHAKE_TIMEOUT)
                .acceptor(NoDelayAcceptor::new());
            server.acceptor(acceptor).serve(connections).await
        }
    }
}
