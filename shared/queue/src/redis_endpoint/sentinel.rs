//! Asks the Sentinels of a service for its primary: every new connection asks, and a watcher asks
//! periodically, since a failover leaves the old primary writable for several seconds until a Sentinel
//! demotes it, and what it accepts meanwhile is lost.
//!
//! The answers of a majority are awaited and the one of the latest failover counts (the highest
//! configuration epoch); the library's client would take the first. The server itself must then report
//! the role of a primary.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::future::{BoxFuture, Shared};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind};
use redis::{RedisError, TlsCertificates, Value};
use tokio::task::AbortHandle;

use super::link::Failovers;
use super::url::SentinelUrl;
use super::{open, tcp_settings};
use crate::redis_reply::is_transient;

/// Maximum time to connect to a Sentinel or server, and maximum time of a response.
const TIMEOUT: Duration = Duration::from_secs(1);
/// Time between two requests of the watcher.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

type Address = (String, u16);
/// The replies to `GET-MASTER-ADDR-BY-NAME` and `MASTER`.
type Reply = (Option<Address>, HashMap<String, String>);
type Lookup = Shared<BoxFuture<'static, Result<Client, RedisError>>>;

/// The Sentinels of a service.
pub(super) struct Sentinels {
    service: Arc<Service>,
    failovers: Failovers,
    /// The lookup in progress. Connections that are opened meanwhile share it: while Sentinels are
    /// down, each lookup takes as long as a connection attempt.
    lookup: Mutex<Option<Lookup>>,
    watcher: OnceLock<AbortHandle>,
}

struct Service {
    name: String,
    sentinels: Vec<Sentinel>,
    /// Credentials and database of the servers.
    servers: ConnectionInfo,
    with_tls: bool,
    tls: Option<TlsCertificates>,
    /// The primary of the latest connections.
    used: Mutex<Option<Address>>,
}

/// One Sentinel, with the connection to it once it is open.
struct Sentinel {
    client: Client,
    connection: Mutex<Option<MultiplexedConnection>>,
}

impl Drop for Sentinels {
    fn drop(&mut self) {
        if let Some(watcher) = self.watcher.get() {
            watcher.abort();
        }
    }
}

impl Sentinels {
    pub(super) fn new(
        url: &SentinelUrl,
        tls: Option<TlsCertificates>,
        failovers: Failovers,
    ) -> Result<Self, RedisError> {
        let sentinel = |at: &Address| {
            let info = url.own.clone().set_addr(address(at, url.tls));
            Ok(Sentinel {
                client: open(info, tls.as_ref())?,
                connection: Mutex::default(),
            })
        };
        let sentinels = url.sentinels.iter().map(sentinel);
        let sentinels = sentinels.collect::<Result<Vec<_>, RedisError>>()?;
        Ok(Self {
            service: Arc::new(Service {
                name: url.service.clone(),
                sentinels,
                servers: url.servers.clone().set_tcp_settings(tcp_settings()),
                with_tls: url.tls,
                tls,
                used: Mutex::default(),
            }),
            failovers,
            lookup: Mutex::default(),
            watcher: OnceLock::new(),
        })
    }

    /// Looks the primary up, or joins a lookup in progress.
    pub(super) async fn primary(&self) -> Result<Client, RedisError> {
        self.watcher.get_or_init(|| {
            let watching = watch(Arc::clone(&self.service), self.failovers.clone());
            tokio::spawn(watching).abort_handle()
        });
        let lookup = {
            let mut slot = self.lookup.lock().unwrap_or_else(PoisonError::into_inner);
            match &*slot {
                Some(lookup) if lookup.peek().is_none() => lookup.clone(),
                _ => {
                    let lookup = look_up(Arc::clone(&self.service)).boxed().shared();
                    *slot = Some(lookup.clone());
                    lookup
                }
            }
        };
        lookup.await
    }
}

fn address((host, port): &Address, with_tls: bool) -> ConnectionAddr {
    if with_tls {
        ConnectionAddr::TcpTls {
            host: host.clone(),
            port: *port,
            insecure: false,
            tls_params: None,
        }
    } else {
        ConnectionAddr::Tcp(host.clone(), *port)
    }
}

fn config() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(Some(TIMEOUT))
        .set_response_timeout(Some(TIMEOUT))
}

async fn look_up(service: Arc<Service>) -> Result<Client, RedisError> {
    let at = service.reported().await?;
    let info = service.servers.clone();
    let client = open(
        info.set_addr(address(&at, service.with_tls)),
        service.tls.as_ref(),
    )?;
    check_role(&client).await?;
    *service.used.lock().unwrap_or_else(PoisonError::into_inner) = Some(at);
    Ok(client)
}

/// Fails unless the server reports that it is a primary. A server that forbids the question is trusted.
async fn check_role(client: &Client) -> Result<(), RedisError> {
    let mut connection = client
        .get_multiplexed_async_connection_with_config(&config())
        .await?;
    let role: Vec<Value> = match redis::cmd("ROLE").query_async(&mut connection).await {
        Err(error) if !is_transient(&error) => return Ok(()),
        role => role?,
    };
    let role = role.first().map(redis::from_redis_value_ref::<String>);
    match role {
        Some(Ok(role)) if role == "master" => Ok(()),
        _ => Err((ErrorKind::Io, "the reported primary is not one yet").into()),
    }
}

/// Reports a failover when the Sentinels name another primary than the one in use.
async fn watch(service: Arc<Service>, failovers: Failovers) {
    loop {
        tokio::time::sleep(WATCH_INTERVAL).await;
        let Ok(reported) = service.reported().await else {
            continue;
        };
        let mut used = service.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.as_ref().is_some_and(|used| *used != reported) {
            tracing::info!(
                service = service.name,
                host = reported.0,
                port = reported.1,
                "the Sentinels report another primary"
            );
            *used = Some(reported);
            failovers.reported();
        }
    }
}

impl Service {
    /// The primary that the Sentinels report.
    async fn reported(&self) -> Result<Address, RedisError> {
        let majority = self.sentinels.len() / 2 + 1;
        let asked = self.sentinels.iter().map(|it| it.ask(&self.name));
        let mut answers: FuturesUnordered<_> = asked.collect();
        let mut received: Vec<(u64, Address)> = Vec::new();
        let mut error = RedisError::from((ErrorKind::Io, "no Sentinel responded"));
        while received.len() < majority
            && let Some(answer) = answers.next().await
        {
            match answer {
                Ok(answer) => received.push(answer),
                Err(other) => error = other,
            }
        }
        let latest = received.into_iter().max_by_key(|(epoch, _)| *epoch);
        latest.map(|(_, at)| at).ok_or(error)
    }
}

impl Sentinel {
    /// The primary's address with the epoch of the failover that chose it.
    async fn ask(&self, service: &str) -> Result<(u64, Address), RedisError> {
        let existing = self.slot().clone();
        let mut connection = match existing {
            Some(connection) => connection,
            None => {
                let opened = self
                    .client
                    .get_multiplexed_async_connection_with_config(&config())
                    .await?;
                self.slot().insert(opened).clone()
            }
        };
        let mut commands = redis::pipe();
        // The state says the old address until the failover has ended, the first reply the new one.
        commands
            .cmd("SENTINEL")
            .arg("GET-MASTER-ADDR-BY-NAME")
            .arg(service);
        commands.cmd("SENTINEL").arg("MASTER").arg(service);
        match commands.query_async::<Reply>(&mut connection).await {
            Ok((Some(at), state)) => {
                let epoch = state.get("config-epoch").and_then(|it| it.parse().ok());
                Ok((epoch.unwrap_or(0), at))
            }
            Ok((None, _)) => Err(unknown_service()),
            Err(error) => {
                *self.slot() = None;
                Err(error)
            }
        }
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<MultiplexedConnection>> {
        let slot = self.connection.lock();
        slot.unwrap_or_else(PoisonError::into_inner)
    }
}

fn unknown_service() -> RedisError {
    let kind = ErrorKind::MasterNameNotFoundBySentinel;
    (kind, "the Sentinel does not know the service").into()
}
