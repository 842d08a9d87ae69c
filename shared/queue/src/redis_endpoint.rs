//! Connections to Redis, one server or a Cluster: a shared, pipelining connection for commands that
//! return at once, and dedicated ones for commands that block. The `redis` crate reconnects. Used by
//! the queue's engine and by every other part of a process that stores data in Redis.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use redis::aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig, PubSub};
use redis::cluster::{ClusterClient, ClusterConfig};
use redis::cluster_async::ClusterConnection;
use redis::io::tcp::TcpSettings;
use redis::{AsyncConnectionConfig, Client, Cmd, ErrorKind, Pipeline, RedisError, RedisFuture};
use redis::{IntoConnectionInfo, ServerErrorKind, TlsCertificates, Value};

use crate::store::StoreError;

/// Maximum time to establish a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// First line of a certificate in PEM.
const PEM_CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----";
/// Maximum response time of a command that does not block.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(3);

impl From<RedisError> for StoreError {
    fn from(error: RedisError) -> Self {
        match error.kind() {
            ErrorKind::Io
            | ErrorKind::ClusterConnectionNotFound
            | ErrorKind::AuthenticationFailed
            | ErrorKind::Server(
                ServerErrorKind::BusyLoading
                | ServerErrorKind::TryAgain
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::MasterDown
                | ServerErrorKind::ReadOnly
                | ServerErrorKind::Moved
                | ServerErrorKind::Ask,
            ) => Self::Unavailable(error.to_string()),
            _ if error.is_timeout() || error.is_connection_dropped() => {
                Self::Unavailable(error.to_string())
            }
            _ => Self::Unexpected(error.to_string()),
        }
    }
}

/// A server or a Cluster with the shared connection to it. Clones share the connection.
#[derive(Clone)]
pub struct RedisEndpoint {
    nodes: Nodes,
    cluster: Option<ClusterClient>,
    shared: RedisLink,
}

impl RedisEndpoint {
    /// Parses `redis://…` or, for TLS, `rediss://…`; several of these, comma-separated, for Cluster.
    /// Connects on first use; while the server is down, commands fail. With TLS the server's
    /// certificate must be trusted by the system.
    ///
    /// # Errors
    /// If a URL is malformed. The error does not contain the URL, which may hold a password.
    pub fn new(url: &str) -> Result<Self, StoreError> {
        Self::with_authority(url, None)
    }

    /// Like [`RedisEndpoint::new`], for servers whose certificates are signed by this authority (PEM)
    /// instead of one that the system trusts.
    ///
    /// # Errors
    /// As [`RedisEndpoint::new`]; also if a URL is without TLS or the authority cannot be parsed.
    pub fn with_authority(url: &str, authority: Option<&str>) -> Result<Self, StoreError> {
        // The library silently trusts no certificate without a PEM block, and any certificate with
        // the fragment `#insecure`.
        let no_authority = authority.is_some_and(|pem| !pem.contains(PEM_CERTIFICATE));
        if no_authority || url.contains('#') {
            return Err(malformed());
        }
        let tls = authority.map(|pem| TlsCertificates {
            client_tls: None,
            root_cert: Some(pem.as_bytes().to_vec()),
        });
        let urls: Vec<&str> = url
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .collect();
        let nodes = urls
            .iter()
            .map(|url| open(url, tls.as_ref()))
            .collect::<Result<Vec<_>, _>>();
        let nodes = Nodes::new(nodes.map_err(|_| malformed())?);
        if urls.len() > 1 {
            let cluster = ClusterClient::builder(urls);
            let cluster = match tls {
                Some(tls) => cluster.certs(tls),
                None => cluster,
            };
            let cluster = cluster
                .tcp_settings(tcp_settings())
                .connection_timeout(CONNECT_TIMEOUT)
                .response_timeout(RESPONSE_TIMEOUT)
                .retries(2)
                .build()
                .map_err(|_| malformed())?;
            let shared = RedisLink(Kind::Cluster(
                cluster.get_pending_async_connection_with_config(ClusterConfig::new()),
            ));
            return Ok(Self {
                nodes,
                cluster: Some(cluster),
                shared,
            });
        }
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT))
            // Callers retry operations, since they know their deadlines.
            .set_number_of_retries(1)
            .set_max_delay(Duration::from_millis(200));
        let shared = ConnectionManager::new_lazy_with_config(nodes.next()?.clone(), config)?;
        Ok(Self {
            nodes,
            cluster: None,
            shared: RedisLink(Kind::Single(shared)),
        })
    }

    /// The configured servers.
    pub(crate) fn clients(&self) -> &[Client] {
        &self.nodes.clients
    }

    /// The shared connection. Must not be used for commands that block.
    pub fn shared(&self) -> RedisLink {
        self.shared.clone()
    }

    /// Opens a dedicated connection for commands that block up to `block`.
    pub(crate) async fn blocking(&self, block: Duration) -> Result<RedisLink, StoreError> {
        let response_timeout = block + RESPONSE_TIMEOUT;
        if let Some(cluster) = &self.cluster {
            let config = ClusterConfig::new()
                .set_connection_timeout(CONNECT_TIMEOUT)
                .set_response_timeout(response_timeout);
            return Ok(RedisLink(Kind::Cluster(
                cluster.get_async_connection_with_config(config).await?,
            )));
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(response_timeout));
        let connection = self
            .nodes
            .next()?
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        Ok(RedisLink(Kind::Dedicated(connection)))
    }

    /// Opens a connection for subscriptions. In a Cluster, messages reach the subscribers of every node.
    pub(crate) async fn listener(&self) -> Result<PubSub, StoreError> {
        tokio::time::timeout(CONNECT_TIMEOUT, self.nodes.next()?.get_async_pubsub())
            .await
            .map_err(|_| StoreError::Unavailable("connecting timed out".to_owned()))?
            .map_err(StoreError::from)
    }
}

/// Omits the library's message, which may contain a password.
fn malformed() -> StoreError {
    let why = "the Redis URL or the certificate authority is malformed";
    StoreError::Unexpected(why.to_owned())
}

fn open(url: &str, tls: Option<&TlsCertificates>) -> Result<Client, RedisError> {
    let server = url.into_connection_info()?.set_tcp_settings(tcp_settings());
    match tls {
        Some(tls) => Client::build_with_tls(server, tls.clone()),
        None => Client::open(server),
    }
}

/// Disables Nagle's algorithm, which would delay a command until the response to the previous one.
fn tcp_settings() -> TcpSettings {
    TcpSettings::default().set_nodelay(true)
}

/// The configured servers, used in rotation, so that one that is down does not block what any other
/// can do.
#[derive(Clone)]
struct Nodes {
    clients: Arc<[Client]>,
    turn: Arc<AtomicUsize>,
}

impl Nodes {
    fn new(clients: Vec<Client>) -> Self {
        Self {
            clients: clients.into(),
            turn: Arc::default(),
        }
    }

    fn next(&self) -> Result<&Client, StoreError> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        self.clients
            .get(turn % self.clients.len().max(1))
            .ok_or_else(|| StoreError::Unexpected("no Redis URL is configured".to_owned()))
    }
}

/// A connection to a server or a Cluster. Clones share it and pipeline their commands.
#[derive(Clone)]
pub struct RedisLink(Kind);

#[derive(Clone)]
enum Kind {
    Single(ConnectionManager),
    Dedicated(redis::aio::MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl ConnectionLike for RedisLink {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match &mut self.0 {
            Kind::Single(connection) => connection.req_packed_command(cmd),
            Kind::Dedicated(connection) => connection.req_packed_command(cmd),
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
            Kind::Single(connection) => connection.req_packed_commands(pipeline, offset, count),
            Kind::Dedicated(connection) => connection.req_packed_commands(pipeline, offset, count),
            Kind::Cluster(connection) => connection.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        0
    }
}

pub(crate) async fn ping(link: &mut RedisLink) -> Result<(), StoreError> {
    let _: Value = redis::cmd("PING").query_async(link).await?;
    Ok(())
}

/// One sentence for each setting that can lose jobs.
pub(crate) async fn durability_warnings(link: &mut RedisLink) -> Result<Vec<String>, StoreError> {
    let expected = [
        (
            "appendonly",
            "yes",
            "jobs are lost when the server restarts",
        ),
        (
            "appendfsync",
            "always",
            "accepted jobs of the last second are lost in a power failure",
        ),
        (
            "maxmemory-policy",
            "noeviction",
            "jobs are evicted when the server runs out of memory",
        ),
    ];
    let mut warnings = Vec::new();
    for (name, wanted, consequence) in expected {
        let setting: Vec<String> = redis::cmd("CONFIG")
            .arg("GET")
            .arg(name)
            .query_async(link)
            .await?;
        match setting.get(1) {
            Some(value) if value != wanted => {
                warnings.push(format!(
                    "Redis has {name} {value}, expected {wanted}: {consequence}"
                ));
            }
            _ => {}
        }
    }
    Ok(warnings)
}
