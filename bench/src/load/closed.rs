//! A closed loop: as many requests as connections are in flight, each followed by the next one. It measures
//! what a target can do, and what a request takes while others wait; not what a player waits at a given
//! rate, which `open` measures.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::connection::Connection;
use super::{Endpoint, Requests, Sent, on_one_thread};
use crate::Outcome;

/// When a load ends.
#[derive(Clone, Copy)]
pub(crate) enum Limit {
    /// After this time.
    Time(Duration),
    /// After this number of requests.
    Requests(u64),
}

/// A closed loop.
pub(crate) struct Closed {
    /// Connections, each with one request in flight.
    pub(crate) connections: usize,
    /// Number of the first request.
    pub(crate) first: u64,
    pub(crate) limit: Limit,
}

impl Closed {
    /// Sends the requests.
    pub(crate) async fn send(self, endpoint: &Endpoint, requests: &Requests) -> Outcome<Sent> {
        let (endpoint, requests) = (endpoint.clone(), Arc::clone(requests));
        on_one_thread(move || self.drive(endpoint, requests)).await
    }

    async fn drive(self, endpoint: Endpoint, requests: Requests) -> Outcome<Sent> {
        let mut connections = Vec::new();
        for _ in 0..self.connections {
            connections.push(endpoint.connect().await?);
        }
        let mut all = Sent::new()?;
        let start = Instant::now();
        let (end, last) = match self.limit {
            Limit::Time(time) => (Some(start + time), u64::MAX),
            Limit::Requests(number) => (None, self.first + number),
        };
        let next = Arc::new(AtomicU64::new(self.first));
        let loops: Vec<_> = connections
            .into_iter()
            .map(|connection| {
                let each = Loop {
                    connection: Some(connection),
                    endpoint: endpoint.clone(),
                    requests: Arc::clone(&requests),
                    next: Arc::clone(&next),
                    last,
                    end,
                };
                tokio::spawn(each.run())
            })
            .collect();
        for each in loops {
            all.add(each.await??)?;
        }
        all.elapsed = start.elapsed();
        Ok(all)
    }
}

/// One connection's part of the load.
struct Loop {
    connection: Option<Connection>,
    endpoint: Endpoint,
    requests: Requests,
    next: Arc<AtomicU64>,
    last: u64,
    end: Option<Instant>,
}

impl Loop {
    async fn run(mut self) -> Outcome<Sent> {
        let mut sent = Sent::new()?;
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= self.last || self.end.is_some_and(|end| Instant::now() >= end) {
                return Ok(sent);
            }
            let request = (self.requests)(number);
            let begin = Instant::now();
            let mut connection = match self.connection.take() {
                Some(connection) => connection,
                None => self.endpoint.connect().await?,
            };
            let response = connection.send(request).await;
            if response.is_ok() {
                self.connection = Some(connection);
            }
            sent.record(begin.elapsed(), response.map(|(status, _)| status));
        }
    }
}
