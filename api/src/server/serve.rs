//! Serves a router with axum-server, with TLS if there is a certificate: time limits for slow clients,
//! and a graceful shutdown that lets requests finish.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn;
use axum_server::accept::NoDelayAcceptor;
use axum_server::tls_rustls::RustlsAcceptor;
use axum_server::{Handle, Server};
use futures_util::future::Either;
use hyper_util::rt::TokioTimer;
use prometheus::IntGauge;
use tokio::net::TcpListener;
use tokio::time::{Instant, interval};
use tokio_util::sync::CancellationToken;

use crate::server::tls::Tls;
use crate::server::unread_body;

/// Time limit for receiving a request's head; also the idle timeout of a connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// Time limit for a TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How often the number of open connections is read.
const GAUGE_INTERVAL: Duration = Duration::from_secs(1);

/// Serves until `stop`, only with TLS if `tls` is given; then accepts no more connections and gives
/// requests in progress `grace` to finish. `open` shows the number of open connections.
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
    let handle = Handle::<SocketAddr>::new();
    let mut server = Server::from_listener(listener)
        .http1_only()
        .handle(handle.clone())
        .accept_error_handler(|peer: Option<&SocketAddr>, error| match peer {
            None => tracing::warn!(%error, "connection not accepted"),
            Some(_) => tracing::debug!(%error, "TLS handshake failed"),
        });
    let mut http = server.http_builder().http1();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT);
    let router = router.layer(from_fn(unread_body::run));
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let tcp = NoDelayAcceptor::new();
    let mut serving = pin!(match tls {
        None => Either::Left(server.acceptor(tcp).serve(service)),
        Some(tls) => {
            let tls = RustlsAcceptor::new(tls.config()).handshake_timeout(HANDSHAKE_TIMEOUT);
            Either::Right(server.acceptor(tls.acceptor(tcp)).serve(service))
        }
    });
    let mut gauge = interval(GAUGE_INTERVAL);
    let mut deadline = None;
    loop {
        tokio::select! {
            result = &mut serving => {
                if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                    tracing::warn!("shutdown timed out, requests in progress were aborted");
                }
                return result;
            }
            () = stop.cancelled(), if deadline.is_none() => {
                handle.graceful_shutdown(Some(grace));
                deadline = Some(Instant::now() + grace);
            }
            _ = gauge.tick(), if open.is_some() => {
                let connections = i64::try_from(handle.connection_count()).unwrap_or(i64::MAX);
                open.iter().for_each(|open| open.set(connections));
            }
        }
    }
}
