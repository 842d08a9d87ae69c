//! An open loop: requests are sent on schedule whatever became of earlier ones, and every latency counts from
//! the time at which the request was due. A target that falls behind, or a driver that is late, cannot hide
//! that (no coordinated omission).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hyper::StatusCode;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::connection::Connection;
use super::{Endpoint, Intervals, Requests, Sent, on_one_thread};
use crate::Outcome;

/// Connections that are open before the first request.
const CONNECTIONS: usize = 16;

/// A response: when its request was due, counted from the start, and its latency from then.
type Ended = (Duration, Duration, Outcome<StatusCode>);

/// A schedule.
pub(crate) struct Open {
    /// Requests per second.
    pub(crate) rate: u32,
    /// Number of the first request.
    pub(crate) first: u64,
    /// Number of requests.
    pub(crate) requests: u64,
}

impl Open {
    /// Sends the requests.
    pub(crate) async fn send(self, endpoint: &Endpoint, requests: &Requests) -> Outcome<Sent> {
        let intervals = Arc::new(Mutex::new(Intervals::all_in_one()));
        self.send_in_intervals(endpoint, requests, &intervals).await
    }

    /// Sends the requests, and also records each in the interval in which it was due.
    pub(crate) async fn send_in_intervals(
        self,
        endpoint: &Endpoint,
        requests: &Requests,
        intervals: &Arc<Mutex<Intervals>>,
    ) -> Outcome<Sent> {
        let (endpoint, requests) = (endpoint.clone(), Arc::clone(requests));
        let intervals = Arc::clone(intervals);
        on_one_thread(move || self.drive(endpoint, requests, intervals)).await
    }

    async fn drive(
        self,
        endpoint: Endpoint,
        requests: Requests,
        intervals: Arc<Mutex<Intervals>>,
    ) -> Outcome<Sent> {
        let idle = Idle::default();
        for _ in 0..CONNECTIONS {
            idle.put(endpoint.connect().await?);
        }
        let mut sent = Sent::new()?;
        let (first, start) = (self.first, Instant::now());
        let mut due = self.schedule(start);
        let record = |sent: &mut Sent, ended: Ended| -> Outcome<()> {
            let (due, latency, response) = ended;
            let mut intervals = intervals.lock().unwrap_or_else(PoisonError::into_inner);
            intervals.record(due, latency, &response)?;
            sent.record(latency, response);
            Ok(())
        };
        let mut running = JoinSet::new();
        loop {
            tokio::select! {
                Some(ended) = running.join_next() => {
                    record(&mut sent, ended?)?;
                }
                scheduled = due.recv() => {
                    let Some((number, due)) = scheduled else { break };
                    let request = requests(first + number);
                    let (idle, endpoint) = (idle.clone(), endpoint.clone());
                    running.spawn(async move {
                        let response = async {
                            let mut connection = match idle.take() {
                                Some(connection) => connection,
                                None => endpoint.connect().await?,
                            };
                            let (status, _) = connection.send(request).await?;
                            idle.put(connection);
                            Ok(status)
                        };
                        let response = response.await;
                        (due - start, due.elapsed(), response)
                    });
                }
            }
        }
        while let Some(ended) = running.join_next().await {
            record(&mut sent, ended?)?;
        }
        sent.elapsed = start.elapsed();
        Ok(sent)
    }

    /// Returns the numbers of the requests when each is due. A thread sleeps, since timers of the runtime
    /// are late by up to a millisecond.
    fn schedule(&self, start: Instant) -> mpsc::UnboundedReceiver<(u64, Instant)> {
        let (sender, due) = mpsc::unbounded_channel();
        let (rate, requests) = (self.rate, self.requests);
        std::thread::spawn(move || {
            for number in 0..requests {
                let at = start + time_of(number, rate);
                std::thread::sleep(at.saturating_duration_since(Instant::now()));
                if sender.send((number, at)).is_err() {
                    return;
                }
            }
        });
        due
    }
}

/// Time from the start until a request is due.
fn time_of(number: u64, rate: u32) -> Duration {
    let nanos = u128::from(number) * 1_000_000_000 / u128::from(rate.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// Connections without a request.
#[derive(Clone, Default)]
struct Idle(Arc<Mutex<Vec<Connection>>>);

impl Idle {
    fn take(&self) -> Option<Connection> {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The server closes connections that have been idle for long.
        while let Some(connection) = idle.pop() {
            if connection.is_open() {
                return Some(connection);
            }
        }
        None
    }

    fn put(&self, connection: Connection) {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push(connection);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use axum::Router;
    use axum::routing::get;
    use tokio::net::TcpListener;

    use super::*;

    /// A server that does not respond to anyone for a while.
    async fn stalling(stall: Duration) -> Endpoint {
        let stalled = Arc::new(AtomicBool::new(false));
        let respond = move || {
            let first = !stalled.swap(true, Ordering::Relaxed);
            async move {
                if first {
                    // Blocks the server's only thread.
                    std::thread::sleep(stall);
                }
            }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().route("/", get(respond));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Endpoint::of(&url).unwrap()
    }

    #[tokio::test]
    async fn a_stall_delays_every_request_that_was_due() {
        let endpoint = stalling(Duration::from_millis(300)).await;
        let requests: Requests =
            Arc::new(|_| hyper::Request::get("/").body(Default::default()).unwrap());
        let load = Open {
            rate: 100,
            first: 0,
            requests: 40,
        };
        let sent = load.send(&endpoint, &requests).await.unwrap();
        assert_eq!((sent.successes(), sent.failures()), (40, 0));
        // 30 of the 40 were due during the stall; a closed loop would have seen one slow request.
        let median = sent.percentiles().p50;
        assert!(median > 50.0, "{median} ms");
    }

    #[test]
    fn requests_are_due_at_equal_intervals() {
        assert_eq!(time_of(0, 50), Duration::ZERO);
        assert_eq!(time_of(50, 50), Duration::from_secs(1));
        assert_eq!(time_of(1, 3), Duration::from_nanos(333_333_333));
    }
}
