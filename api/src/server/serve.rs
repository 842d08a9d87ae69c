//! Serves a router with axum-server, with TLS if there is a certificate, within bounds on connections, and
//! with a graceful shutdown that lets requests finish.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn;
use axum_server::accept::DefaultAcceptor;
use axum_server::tls_rustls::RustlsAcceptor;
use axum_server::{Handle, Server};
use futures_util::future::Either;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::middleware::metrics::{ConnectionBound, ConnectionMetrics};
use crate::server::bounds::Bounds;
use crate::server::listener::{BoundedListener, Peer};
use crate::server::slots::Slots;
use crate::server::timed_stream::TimedAcceptor;
use crate::server::tls::Tls;
use crate::server::unread_body;

/// Time limit for a TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// A listening socket and how its connections are handled.
pub struct Endpoint {
    /// The socket.
    pub socket: TcpListener,
    /// If there is one, connections must use TLS.
    pub tls: Option<Tls>,
    /// Bounds on connections.
    pub bounds: Bounds,
    /// Counts them.
    pub metrics: ConnectionMetrics,
}

impl Endpoint {
    /// The operators' listener, whose connections are not exported as metrics.
    ///
    /// # Errors
    /// Never: its metrics are registered only here.
    pub fn operators(socket: TcpListener) -> Result<Self, prometheus::Error> {
        Ok(Self {
            socket,
            tls: None,
            bounds: Bounds::operators(),
            metrics: ConnectionMetrics::new(&prometheus::Registry::new())?,
        })
    }
}

/// Serves until `stop`; then accepts no more connections and gives requests in progress `grace` to finish.
///
/// # Errors
/// Never at present; accepting continues after errors, which are temporary (too many open files).
pub async fn serve(
    endpoint: Endpoint,
    router: Router,
    stop: CancellationToken,
    grace: Duration,
) -> io::Result<()> {
    let Endpoint {
        socket,
        tls,
        bounds,
        metrics,
    } = endpoint;
    if let Err(error) = bounds.apply(&socket) {
        tracing::warn!(%error, "buffers of connections are not bounded");
    }
    let slots = Slots::new(&bounds, metrics.clone());
    let handle = Handle::<Peer>::new();
    let handshakes = metrics.clone();
    let listener = BoundedListener::new(socket, slots);
    let mut server = Server::<Peer>::from_listener(listener)
        .http1_only()
        .handle(handle.clone())
        .accept_error_handler(move |peer: Option<&Peer>, error| match peer {
            None => tracing::warn!(%error, "connection not accepted"),
            Some(_) => {
                if error.kind() == io::ErrorKind::TimedOut {
                    handshakes.cut(ConnectionBound::Handshake);
                }
                tracing::debug!(%error, "TLS handshake failed");
            }
        });
    // The buffer for a head, which is refused (431) when it does not fit. The number of headers is
    // limited to 100 by hyper. The time is limited by `TimedStream`.
    server
        .http_builder()
        .http1()
        .max_buf_size(bounds.head.max(Bounds::MIN_HEAD) as usize);
    let router = router.layer(from_fn(unread_body::run));
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let mut serving = pin!(match tls {
        None => {
            let plain = TimedAcceptor::new(DefaultAcceptor::new(), bounds.timeouts, metrics);
            Either::Left(server.acceptor(plain).serve(service))
        }
        Some(tls) => {
            let tls = RustlsAcceptor::new(tls.config()).handshake_timeout(HANDSHAKE_TIMEOUT);
            let tls = TimedAcceptor::new(tls, bounds.timeouts, metrics);
            Either::Right(server.acceptor(tls).serve(service))
        }
    });
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
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
