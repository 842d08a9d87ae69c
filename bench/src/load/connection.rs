//! One HTTP/1.1 connection that stays open, with one request in flight.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::StatusCode;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::HttpRequest;
use crate::Outcome;

/// A response that takes longer is an error.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Where a target listens.
#[derive(Clone)]
pub(crate) struct Endpoint {
    authority: String,
}

impl Endpoint {
    /// The endpoint of a base URL, `http://HOST:PORT`.
    pub(crate) fn of(url: &str) -> Outcome<Self> {
        let authority = url.strip_prefix("http://").ok_or("not an http URL")?;
        Ok(Self {
            authority: authority.trim_end_matches('/').to_owned(),
        })
    }

    /// Connects.
    pub(crate) async fn connect(&self) -> Outcome<Connection> {
        let stream = TcpStream::connect(&self.authority).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Connection(sender))
    }

    /// Sends one request over a connection of its own.
    pub(crate) async fn send(&self, request: HttpRequest) -> Outcome<(StatusCode, Bytes)> {
        self.connect().await?.send(request).await
    }
}

/// An open connection.
pub(crate) struct Connection(SendRequest<Full<Bytes>>);

impl Connection {
    /// Whether the server has not closed it.
    pub(super) fn is_open(&self) -> bool {
        !self.0.is_closed()
    }

    /// Sends a request and reads the whole response. After an error the connection is useless.
    pub(crate) async fn send(&mut self, request: HttpRequest) -> Outcome<(StatusCode, Bytes)> {
        let exchange = async {
            self.0.ready().await?;
            let response = self.0.send_request(request).await?;
            let status = response.status();
            let body = response.into_body().collect().await?.to_bytes();
            Ok((status, body))
        };
        timeout(TIMEOUT, exchange).await?
    }
}
