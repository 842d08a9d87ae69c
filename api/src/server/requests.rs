//! Counts the requests of a connection, so that its stream can distinguish a head that is late from a
//! response that takes its time: a request is in progress from the end of its head until its response has
//! been handed to the connection and the rest of its body has been read.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use axum::http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use tower::Service;

/// The requests of one connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Requests(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    begun: AtomicUsize,
    open: AtomicUsize,
}

impl Requests {
    /// The number of requests whose head was complete.
    pub(super) fn begun(&self) -> usize {
        self.0.begun.load(Ordering::Acquire)
    }

    /// Whether a request is in progress.
    pub(super) fn any_open(&self) -> bool {
        self.0.open.load(Ordering::Acquire) > 0
    }

    pub(super) fn begin(&self) -> InProgress {
        self.0.open.fetch_add(1, Ordering::AcqRel);
        self.0.begun.fetch_add(1, Ordering::AcqRel);
        InProgress(Arc::clone(&self.0))
    }
}

/// A request is in progress while a clone of this exists. It is an extension of the request.
#[derive(Debug)]
pub(super) struct InProgress(Arc<Counts>);

impl Clone for InProgress {
    fn clone(&self) -> Self {
        self.0.open.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(&self.0))
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Counts the requests to a service.
#[derive(Clone, Debug)]
pub(super) struct Counted<S> {
    service: S,
    requests: Requests,
}

impl<S> Counted<S> {
    pub(super) fn new(service: S, requests: Requests) -> Self {
        Self { service, requests }
    }
}

impl<S, Q, R> Service<Request<Q>> for Counted<S>
where
    S: Service<Request<Q>, Response = Response<R>>,
    S::Future: Send + 'static,
{
    type Response = Response<CountedBody<R>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Q>) -> Self::Future {
        let progress = self.requests.begin();
        request.extensions_mut().insert(progress.clone());
        let response = self.service.call(request);
        Box::pin(async move {
            let response = response.await?;
            Ok(response.map(|body| CountedBody {
                body,
                _progress: progress,
            }))
        })
    }
}

/// The body of a response, whose request is in progress until it is dropped.
pub(super) struct CountedBody<B> {
    body: B,
    _progress: InProgress,
}

impl<B: Body + Unpin> Body for CountedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
