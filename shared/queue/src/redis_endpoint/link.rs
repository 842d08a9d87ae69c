//! Connections for commands: one that is shared and replaces itself, and dedicated ones. Both report
//! replies that reveal a failover, and every connection of the endpoint is then replaced.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use redis::aio::{AsyncPushSender, ConnectionLike, MultiplexedConnection};
use redis::cluster_async::ClusterConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, ErrorKind, Pipeline, ProtocolVersion};
use redis::{RedisError, RedisFuture, Value};
use tokio::sync::watch;
use tokio::time::Instant;

use super::{CONNECT_TIMEOUT, RESPONSE_TIMEOUT, Source};
use crate::redis_reply::{ends_connection, error_of, is_wrong_server};

/// Minimum time between two attempts to open the shared connection. Callers wait for it, so that a
/// server in a failover is not flooded with connections.
const CONNECT_INTERVAL: Duration = Duration::from_millis(100);

/// Number of failovers that any connection of an endpoint has noticed.
#[derive(Clone)]
pub(super) struct Failovers(watch::Sender<u64>);

impl Failovers {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(0))
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }

    fn count(&self) -> u64 {
        *self.0.borrow()
    }

    /// Counts one that the Sentinels reported.
    pub(super) fn reported(&self) {
        self.0.send_modify(|count| *count += 1);
    }

    /// Counts one, unless the connection that noticed it was opened before an earlier one.
    fn noticed(&self, count_at_opening: u64) {
        self.0.send_if_modified(|count| {
            let news = *count == count_at_opening;
            *count += u64::from(news);
            news
        });
    }
}

/// A connection to a server or a Cluster. Clones share it and pipeline their commands.
#[derive(Clone)]
pub struct RedisLink(Kind);

#[derive(Clone)]
enum Kind {
    Shared(Arc<SharedConnection>),
    Dedicated(Dedicated),
    Cluster(ClusterConnection),
}

impl RedisLink {
    pub(super) fn shared(source: Source, failovers: Failovers) -> Self {
        Self(Kind::Shared(Arc::new(SharedConnection {
            source,
            failovers,
            slot: Mutex::default(),
        })))
    }

    pub(super) fn cluster(connection: ClusterConnection) -> Self {
        Self(Kind::Cluster(connection))
    }

    pub(super) async fn dedicated(
        source: &Source,
        failovers: Failovers,
        response_timeout: Duration,
    ) -> Result<Self, RedisError> {
        let opened_at = failovers.count();
        let connection = source.connect(&config(response_timeout)).await?;
        Ok(Self::opened(connection, failovers, opened_at))
    }

    /// A dedicated connection in RESP3, which passes what the server sends unasked to `pushes`.
    pub(super) async fn with_pushes(
        source: &Source,
        failovers: Failovers,
        pushes: impl AsyncPushSender,
    ) -> Result<Self, RedisError> {
        let opened_at = failovers.count();
        let client = in_resp3(&source.client().await?)?;
        let config = config(RESPONSE_TIMEOUT).set_push_sender(pushes);
        let connection = client.get_multiplexed_async_connection_with_config(&config);
        Ok(Self::opened(connection.await?, failovers, opened_at))
    }

    fn opened(connection: MultiplexedConnection, failovers: Failovers, opened_at: u64) -> Self {
        Self(Kind::Dedicated(Dedicated {
            connection,
            failovers,
            opened_at,
        }))
    }
}

/// A client like this one that speaks RESP3.
fn in_resp3(client: &Client) -> Result<Client, RedisError> {
    let server = client.get_connection_info();
    let settings = server.redis_settings().clone();
    let settings = settings.set_protocol(ProtocolVersion::RESP3);
    Client::open(server.clone().set_redis_settings(settings))
}

impl RedisLink {
    /// Whether no failover was noticed since the connection was opened. Only a dedicated connection can
    /// be outdated; it must not be used any more.
    pub(crate) fn is_current(&self) -> bool {
        match &self.0 {
            Kind::Dedicated(dedicated) => dedicated.opened_at == dedicated.failovers.count(),
            Kind::Shared(_) | Kind::Cluster(_) => true,
        }
    }
}

fn config(response_timeout: Duration) -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(Some(response_timeout))
}

/// A connection whose owner drops it after an error.
#[derive(Clone)]
struct Dedicated {
    connection: MultiplexedConnection,
    failovers: Failovers,
    /// Number of failovers when it was opened.
    opened_at: u64,
}

impl Dedicated {
    fn inspect(&self, error: Option<&RedisError>) {
        if error.is_some_and(is_wrong_server) {
            self.failovers.noticed(self.opened_at);
        }
    }
}

/// A connection that is opened on first use, and replaced after an error that ends it and after each
/// failover. The command that received the error fails; callers know whether to repeat it.
struct SharedConnection {
    source: Source,
    failovers: Failovers,
    slot: Mutex<Slot>,
}

#[derive(Default)]
struct Slot {
    /// Number of the connection, so that the errors of an earlier one do not end its successor.
    number: u64,
    current: Option<Current>,
    last_attempt: Option<Instant>,
}

#[derive(Clone)]
struct Current {
    number: u64,
    connecting: Shared<BoxFuture<'static, Result<MultiplexedConnection, RedisError>>>,
    /// Number of failovers when it was opened.
    opened_at: u64,
}

impl SharedConnection {
    /// The connection, or the attempt to open it.
    fn current(&self) -> Current {
        let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        let failovers = self.failovers.count();
        if let Some(current) = &slot.current
            && current.opened_at == failovers
        {
            return current.clone();
        }
        let now = Instant::now();
        let earliest = slot
            .last_attempt
            .map_or(now, |last| last + CONNECT_INTERVAL);
        let earliest = earliest.max(now);
        slot.last_attempt = Some(earliest);
        slot.number += 1;
        // In its own task: callers give up at their own deadlines.
        let source = self.source.clone();
        let task = tokio::spawn(async move {
            tokio::time::sleep_until(earliest).await;
            connect(&source).await
        });
        let aborted = |_| Err((ErrorKind::Io, "connecting was aborted").into());
        let current = Current {
            number: slot.number,
            connecting: task
                .map(move |done| done.unwrap_or_else(aborted))
                .boxed()
                .shared(),
            opened_at: failovers,
        };
        slot.current = Some(current.clone());
        current
    }

    fn inspect(&self, used: &Current, error: Option<&RedisError>) {
        let Some(error) = error else { return };
        if is_wrong_server(error) {
            self.failovers.noticed(used.opened_at);
        }
        if ends_connection(error) {
            self.discard(used);
        }
    }

    fn discard(&self, used: &Current) {
        let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.current.as_ref().map(|current| current.number) == Some(used.number) {
            slot.current = None;
        }
    }

    async fn opened(&self, current: &Current) -> Result<MultiplexedConnection, RedisError> {
        let opened = current.connecting.clone().await;
        if opened.is_err() {
            self.discard(current);
        }
        opened
    }
}

/// Connects, with one more attempt: a server that is being restarted refuses connections briefly.
async fn connect(source: &Source) -> Result<MultiplexedConnection, RedisError> {
    let config = config(RESPONSE_TIMEOUT);
    if let Ok(connection) = source.connect(&config).await {
        return Ok(connection);
    }
    tokio::time::sleep(Duration::from_millis(fastrand::u64(50..=150))).await;
    source.connect(&config).await
}

impl ConnectionLike for RedisLink {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match &mut self.0 {
            Kind::Shared(shared) => Box::pin(async move {
                let current = shared.current();
                let mut connection = shared.opened(&current).await?;
                let reply = connection.req_packed_command(cmd).await;
                shared.inspect(&current, error_of(&reply).as_ref());
                reply
            }),
            Kind::Dedicated(dedicated) => Box::pin(async move {
                let reply = dedicated.connection.req_packed_command(cmd).await;
                dedicated.inspect(error_of(&reply).as_ref());
                reply
            }),
            Kind::Cluster(connection) => connection.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match &mut self.0 {
            Kind::Shared(shared) => Box::pin(async move {
                let current = shared.current();
                let mut connection = shared.opened(&current).await?;
                let replies = connection
                    .req_packed_commands(pipeline, offset, count)
                    .await;
                shared.inspect(&current, error_in(&replies).as_ref());
                replies
            }),
            Kind::Dedicated(dedicated) => Box::pin(async move {
                let replies = dedicated
                    .connection
                    .req_packed_commands(pipeline, offset, count)
                    .await;
                dedicated.inspect(error_in(&replies).as_ref());
                replies
            }),
            Kind::Cluster(connection) => connection.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        0
    }
}

/// The error of a pipeline: its own, or the first one among its replies.
fn error_in(replies: &Result<Vec<Value>, RedisError>) -> Option<RedisError> {
    match replies {
        Ok(replies) => replies.iter().find_map(|reply| match reply {
            Value::ServerError(error) => Some(error.clone().into()),
            _ => None,
        }),
        Err(error) => Some(error.clone()),
    }
}
