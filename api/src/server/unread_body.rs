//! Requests that are answered before their body was read, such as one without a token. The client may
//! still be sending: if the connection were closed with unread data, it would see a reset instead of the
//! response, and without `Connection: close` it would send its next request into a closed connection
//! (RFC 9112, section 9.6).
//!
//! A rest that arrives at once is read, and the connection is used further. Otherwise the response has
//! `Connection: close`, and the rest is read in the background within bounds.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use futures_util::{Stream, StreamExt};
use tokio::time::timeout;

use crate::server::requests::InProgress;

/// A longer rest is not waited for, in bytes.
const SHORT: usize = 64 * 1024;
/// How long a response waits for a short rest.
const SHORT_WAIT: Duration = Duration::from_millis(50);
/// How much of the rest is read in the background, in bytes.
const LINGER_BYTES: usize = 16 * 1024 * 1024;
/// For how long the rest is read in the background.
const LINGER_TIME: Duration = Duration::from_secs(10);

pub(super) async fn run(request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    // Reading the body would invite the client to send it.
    let waits_for_continue = request.headers().contains_key(header::EXPECT);
    let progress = request.extensions().get::<InProgress>().cloned();
    let unread = Unread::default();
    let request = request.map(|body| {
        Body::from_stream(Watched {
            stream: Some(body.into_data_stream()),
            unread: unread.clone(),
        })
    });
    let mut response = next.run(request).await;
    let Some(mut rest) = unread.take() else {
        return response;
    };
    let is_short = HttpBody::size_hint(&rest)
        .upper()
        .is_none_or(|size| size <= SHORT as u64);
    if !waits_for_continue && is_short {
        let drained = timeout(SHORT_WAIT, drain(&mut rest, SHORT)).await;
        if drained.unwrap_or(false) {
            return response;
        }
    }
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, close);
    if !waits_for_continue {
        tokio::spawn(timeout(LINGER_TIME, async move {
            drain(&mut rest, LINGER_BYTES).await;
            // Until here, the client's bytes are not taken for its next request.
            drop(progress);
        }));
    }
    response
}

/// Reads the rest of a body; returns whether it ended within this number of bytes.
async fn drain(rest: &mut BodyDataStream, max_bytes: usize) -> bool {
    let mut seen = 0;
    while let Some(chunk) = rest.next().await {
        let Ok(chunk) = chunk else {
            return false;
        };
        seen += chunk.len();
        if seen > max_bytes {
            return false;
        }
    }
    true
}

/// What was left of a body when its reader was dropped.
#[derive(Clone, Default)]
struct Unread(Arc<Mutex<Option<BodyDataStream>>>);

impl Unread {
    fn put(&self, rest: BodyDataStream) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(rest);
    }

    fn take(&self) -> Option<BodyDataStream> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A body that leaves its rest behind when it is dropped.
struct Watched {
    /// `None`: it has ended.
    stream: Option<BodyDataStream>,
    unread: Unread,
}

impl Stream for Watched {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(stream) = &mut self.stream else {
            return Poll::Ready(None);
        };
        let chunk = ready!(stream.poll_next_unpin(context));
        if !matches!(chunk, Some(Ok(_))) {
            self.stream = None;
        }
        Poll::Ready(chunk)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let rest = self.stream.take().filter(|stream| !stream.is_end_stream());
        if let Some(rest) = rest {
            self.unread.put(rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::http::StatusCode;
    use axum::routing::post;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;
    use crate::http::extract;
    use crate::server::bounds::Bounds;
    use crate::server::serve::tests::start;

    /// Serves a route that rejects requests without reading them, and one that reads up to 1000 bytes.
    async fn connect() -> TcpStream {
        async fn refuse() -> StatusCode {
            StatusCode::UNAUTHORIZED
        }
        async fn read(request: Request) -> Response {
            use axum::response::IntoResponse;
            let (parts, body) = request.into_parts();
            let read = extract::read(body, &parts.headers, 1000).await;
            read.map(|bytes| bytes.len().to_string()).into_response()
        }
        let router = Router::new()
            .route("/refuse", post(refuse))
            .route("/read", post(read));
        let (address, _) = start(router, Bounds::operators()).await;
        TcpStream::connect(address).await.unwrap()
    }

    /// Reads until the text appears or the connection ends.
    async fn read_until(stream: &mut TcpStream, text: &str) -> String {
        let mut seen = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            let read = timeout(Duration::from_secs(5), stream.read(&mut buffer)).await;
            let read = read.expect("a response in time").unwrap();
            seen.extend_from_slice(&buffer[..read]);
            let response = String::from_utf8_lossy(&seen).into_owned();
            if read == 0 || response.contains(text) {
                return response.to_lowercase();
            }
        }
    }

    fn head(path: &str, more: &str) -> String {
        format!("POST {path} HTTP/1.1\r\nhost: x\r\n{more}\r\n")
    }

    #[tokio::test]
    async fn response_before_the_body_closes_the_connection() {
        let mut stream = connect().await;
        let request = head("/refuse", "content-length: 1000\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let response = read_until(&mut stream, "\r\n\r\n").await;
        assert!(response.starts_with("http/1.1 401"), "{response}");
        assert!(response.contains("connection: close"), "{response}");
        // The body is still accepted: no reset destroys the response.
        stream.write_all(&[b'x'; 1000]).await.unwrap();
        assert_eq!(read_until(&mut stream, "none").await, "");
    }

    #[tokio::test]
    async fn short_body_is_drained_and_the_connection_reused() {
        let mut stream = connect().await;
        let request = head("/refuse", "content-length: 4\r\n") + "body";
        for _ in 0..3 {
            stream.write_all(request.as_bytes()).await.unwrap();
            let response = read_until(&mut stream, "\r\n\r\n").await;
            assert!(response.starts_with("http/1.1 401"), "{response}");
            assert!(!response.contains("connection: close"), "{response}");
        }
    }

    #[tokio::test]
    async fn body_announced_too_large_is_rejected_at_once() {
        for more in ["", "expect: 100-continue\r\n"] {
            let mut stream = connect().await;
            let more = format!("content-length: 100000000\r\n{more}");
            stream
                .write_all(head("/read", &more).as_bytes())
                .await
                .unwrap();
            let response = read_until(&mut stream, "BODY_TOO_LARGE").await;
            assert!(response.starts_with("http/1.1 413"), "{response}");
            assert!(response.contains("connection: close"), "{response}");
        }
    }

    #[tokio::test]
    async fn expected_body_is_invited_and_read() {
        let mut stream = connect().await;
        let request = head("/read", "content-length: 4\r\nexpect: 100-continue\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let invited = read_until(&mut stream, "\r\n\r\n").await;
        assert!(invited.starts_with("http/1.1 100"), "{invited}");
        stream.write_all(b"body").await.unwrap();
        let response = read_until(&mut stream, "\r\n\r\n4").await;
        assert!(response.starts_with("http/1.1 200"), "{response}");
    }
}
