//! The load driver: the same HTTP/1.1 requests for every target, straight on hyper, so that it costs little of
//! the machine's CPU. `closed` keeps a number of requests in flight and measures throughput; `open` sends on
//! schedule and counts every latency from the time at which the request was due. What is sent is up to
//! `requests` and `notifications`.

mod closed;
mod connection;
mod intervals;
mod open;
mod sent;

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;

use crate::Outcome;
pub(crate) use closed::{Closed, Limit};
pub(crate) use connection::Endpoint;
pub(crate) use intervals::{Interval, Intervals};
pub(crate) use open::Open;
pub(crate) use sent::{Percentiles, Sent};

/// A request with its body.
pub(crate) type HttpRequest = Request<Full<Bytes>>;

/// Builds the request with this number. It is called on the path that is measured, so it must be cheap.
pub(crate) type Requests = Arc<dyn Fn(u64) -> HttpRequest + Send + Sync>;

/// Runs the driver on one thread of its own: waking other threads for each response would take CPU from the
/// target, which shares the machine.
async fn on_one_thread<T, F>(drive: impl FnOnce() -> F + Send + 'static) -> Outcome<T>
where
    T: Send + 'static,
    F: Future<Output = Outcome<T>>,
{
    let driver = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(drive())
    };
    tokio::task::spawn_blocking(driver).await?
}
