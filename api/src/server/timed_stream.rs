//! A connection that ends when its client is too slow: with a request's head, between requests, or with
//! reading what is sent to it. Time in a request does not count.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum_server::accept::Accept;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::middleware::metrics::{ConnectionBound, ConnectionMetrics};
use crate::server::bounds::Timeouts;
use crate::server::requests::{Counted, Requests};

/// Makes the connections of another acceptor timed ones.
#[derive(Clone)]
pub(super) struct TimedAcceptor<A> {
    inner: A,
    timeouts: Timeouts,
    metrics: ConnectionMetrics,
}

impl<A> TimedAcceptor<A> {
    pub(super) fn new(inner: A, timeouts: Timeouts, metrics: ConnectionMetrics) -> Self {
        Self {
            inner,
            timeouts,
            metrics,
        }
    }
}

impl<A, I, S> Accept<I, S> for TimedAcceptor<A>
where
    A: Accept<I, S>,
    A::Future: Send + 'static,
{
    type Stream = TimedStream<A::Stream>;
    type Service = Counted<A::Service>;
    type Future = Pin<Box<dyn Future<Output = io::Result<(Self::Stream, Self::Service)>> + Send>>;

    fn accept(&self, stream: I, service: S) -> Self::Future {
        let accepted = self.inner.accept(stream, service);
        let (timeouts, metrics) = (self.timeouts, self.metrics.clone());
        Box::pin(async move {
            let (stream, service) = accepted.await?;
            let requests = Requests::default();
            let service = Counted::new(service, requests.clone());
            let head = HeadClock::new(timeouts);
            let stream = TimedStream {
                stream,
                requests,
                timeouts,
                head,
                write: None,
                is_stalled: false,
                metrics,
            };
            Ok((stream, service))
        })
    }
}

/// A connection within its timeouts.
pub(super) struct TimedStream<S> {
    stream: S,
    requests: Requests,
    timeouts: Timeouts,
    head: HeadClock,
    /// Created when the client first does not read, and used again.
    write: Option<Pin<Box<Sleep>>>,
    /// Whether `write` runs.
    is_stalled: bool,
    metrics: ConnectionMetrics,
}

impl<S> TimedStream<S> {
    /// Passes on the result of a write, or ends it when the client has not read for too long.
    fn written<T>(
        &mut self,
        context: &mut Context<'_>,
        result: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let error = match result {
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::TimedOut => error,
            Poll::Ready(result) => {
                self.is_stalled = false;
                return Poll::Ready(result);
            }
            Poll::Pending => {
                let deadline = Instant::now() + self.timeouts.write;
                let timer = self
                    .write
                    .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
                if !self.is_stalled {
                    timer.as_mut().reset(deadline);
                    self.is_stalled = true;
                }
                ready!(timer.as_mut().poll(context));
                io::ErrorKind::TimedOut.into()
            }
        };
        self.metrics.cut(ConnectionBound::Write);
        Poll::Ready(Err(error))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for TimedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(context, buffer);
        if this.requests.any_open() {
            return read;
        }
        this.head.follow(this.requests.begun());
        match read {
            Poll::Pending => {
                let bound = ready!(this.head.poll_late(context));
                this.metrics.cut(bound);
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            Poll::Ready(result) => {
                if buffer.filled().len() > before {
                    this.head.begin();
                }
                Poll::Ready(result)
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TimedStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(context, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.written(context, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(context);
        self.written(context, result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_shutdown(context);
        self.written(context, result)
    }
}

/// Until when the next head must begin, or be complete once it has begun.
struct HeadClock {
    timeouts: Timeouts,
    /// The number of requests before this head.
    begun: usize,
    has_begun: bool,
    deadline: Instant,
    /// Set to `deadline` only when there is something to wait for: most heads arrive at once.
    timer: Pin<Box<Sleep>>,
}

impl HeadClock {
    /// A new connection owes a head.
    fn new(timeouts: Timeouts) -> Self {
        let deadline = Instant::now() + timeouts.head;
        Self {
            timeouts,
            begun: 0,
            has_begun: true,
            deadline,
            timer: Box::pin(sleep_until(deadline)),
        }
    }

    /// Waits for the next head if that of the last call is complete.
    fn follow(&mut self, begun: usize) {
        if self.begun != begun {
            self.begun = begun;
            self.has_begun = false;
            self.deadline = Instant::now() + self.timeouts.idle;
        }
    }

    /// The first bytes of a head have arrived.
    fn begin(&mut self) {
        if !self.has_begun {
            self.has_begun = true;
            self.deadline = Instant::now() + self.timeouts.head;
        }
    }

    /// Ready when the client is late, with what it is late for.
    fn poll_late(&mut self, context: &mut Context<'_>) -> Poll<ConnectionBound> {
        if self.timer.deadline() != self.deadline {
            self.timer.as_mut().reset(self.deadline);
        }
        ready!(self.timer.as_mut().poll(context));
        Poll::Ready(match self.has_begun {
            true => ConnectionBound::Head,
            false => ConnectionBound::Idle,
        })
    }
}
