//! TCP connections as WeChat's: the simulator's listener, and the controls exposed to requests.
//!
//! A connection can be reset: its next write fails, so no byte of the response is sent, and it closes
//! with a TCP RST. The faults decide when. It also writes header names as WeChat does, and closes when
//! it has been idle for longer than its latest response allows.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Sleep, sleep};

use crate::header_case::HeaderCase;

/// The controls of one connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Connection(Arc<Controls>);

#[derive(Debug, Default)]
struct Controls {
    is_reset: AtomicBool,
    /// Maximum time between a response and the next request, in seconds; 0 is unlimited.
    max_idle_seconds: AtomicU32,
}

impl Connection {
    /// Makes the next write fail, which closes the connection with a TCP RST.
    pub(crate) fn reset(&self) {
        self.0.is_reset.store(true, Ordering::Release);
    }

    fn is_reset(&self) -> bool {
        self.0.is_reset.load(Ordering::Acquire)
    }

    /// Limits the time between the next response and the request after it; 0 removes the limit.
    pub(crate) fn limit_idle(&self, seconds: u32) {
        self.0.max_idle_seconds.store(seconds, Ordering::Release);
    }

    fn max_idle(&self) -> Option<Duration> {
        let seconds = self.0.max_idle_seconds.load(Ordering::Acquire);
        (seconds > 0).then(|| Duration::from_secs(seconds.into()))
    }
}

impl Connected<IncomingStream<'_, ResettableListener>> for Connection {
    fn connect_info(stream: IncomingStream<'_, ResettableListener>) -> Self {
        stream.io().connection.clone()
    }
}

/// A TCP listener whose connections can be reset.
pub(crate) struct ResettableListener(pub(crate) TcpListener);

impl Listener for ResettableListener {
    type Io = ResettableStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        // axum's accept retries after errors such as too many open files.
        let (tcp, address) = Listener::accept(&mut self.0).await;
        if let Err(error) = tcp.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY was not set, responses may be delayed");
        }
        (
            ResettableStream {
                tcp,
                connection: Connection::default(),
                header_case: HeaderCase::default(),
                idle: None,
            },
            address,
        )
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

/// A TCP stream that closes with a RST once it is reset.
pub(crate) struct ResettableStream {
    tcp: TcpStream,
    connection: Connection,
    header_case: HeaderCase,
    /// Runs from a response to the first byte of the next request.
    idle: Option<Pin<Box<Sleep>>>,
}

impl AsyncRead for ResettableStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.tcp).poll_read(cx, buf);
        if read.is_ready() {
            if buf.filled().len() > before {
                self.idle = None;
            }
            return read;
        }
        match &mut self.idle {
            // An end of file makes the server close the connection.
            Some(idle) => idle.as_mut().poll(cx).map(Ok),
            None => Poll::Pending,
        }
    }
}

impl AsyncWrite for ResettableStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.connection.is_reset() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let this = self.get_mut();
        let rewritten = this.header_case.rewrite(buf);
        let written = Pin::new(&mut this.tcp).poll_write(cx, rewritten.as_deref().unwrap_or(buf));
        if let Poll::Ready(Ok(bytes)) = &written {
            this.header_case.sent(*bytes);
            this.idle = this.connection.max_idle().map(|time| {
                let mut idle = Box::pin(sleep(time));
                // Wakes the server when the time is over; it may not read before.
                let _ = idle.as_mut().poll(cx);
                idle
            });
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.connection.is_reset() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

impl Drop for ResettableStream {
    fn drop(&mut self) {
        // Closing with zero linger sends a RST instead of a FIN.
        if self.connection.is_reset()
            && let Err(error) = self.tcp.set_zero_linger()
        {
            tracing::debug!(%error, "zero linger was not set, connection closes without a reset");
        }
    }
}
