//! How Redis is reached, one server or a Cluster: one shared, pipelining connection for everything
//! that answers at once, and own connections for what blocks. Reconnecting is the `redis` crate's
//! work. The queue's engine uses it, and so may everything else of a process that keeps data there.

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

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the server may take to answer what it can answer at once.
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

/// A server or a cluster, and the shared connection to it. Clones share the connection.
#[derive(Clone)]
pub struct RedisEndpoint {
    nodes: Nodes,
    cluster: Option<ClusterClient>,
    shared: RedisLink,
}

impl RedisEndpoint {
    /// Sets the connection up from `redis://…` or, for TLS, `rediss://…`; from several of these,
    /// comma-separated, for Cluster. Connects when first used: a server that is absent now makes
    /// commands fail until it is there. With TLS it must have a certificate that the system trusts.
    ///
    /// # Errors
    /// When a URL is malformed. The error does not repeat it, since it may hold a password.
    pub fn new(url: &str) -> Result<Self, StoreError> {
        Self::trusting(url, None)
    }

    /// The same, for servers whose certificates are signed by this authority (PEM) instead of one
    /// that the system trusts.
    ///
    /// # Errors
    /// As [`RedisEndpoint::new`]; also when a URL is not one of TLS or the authority can't be read.
    pub fn trusting(url: &str, authority: Option<&str>) -> Result<Self, StoreError> {
        let tls = authority.map(|pem| TlsCertificates {
            client_tls: None,
            root_cert: Some(pem.as_bytes().to_vec()),
        });
        // Without what the library says: it may quote a password.
        let malformed = |_| {
            let why = "the Redis URL or the authority for its TLS is malformed";
            StoreError::Unexpected(why.to_owned())
        };
        let urls: Vec<&str> = url
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .collect();
        let nodes = urls
            .iter()
            .map(|url| open(url, tls.as_ref()))
            .collect::<Result<Vec<_>, _>>();
        let nodes = Nodes::new(nodes.map_err(malformed)?);
        if urls.len() > 1 {
            let cluster = ClusterClient::builder(urls);
            let cluster = match tls {
                Some(tls) => cluster.certs(tls),
                None => cluster,
            };
            let cluster = cluster
                .tcp_settings(at_once())
                .connection_timeout(CONNECT_TIMEOUT)
                .response_timeout(RESPONSE_TIMEOUT)
                .retries(2)
                .build()
                .map_err(malformed)?;
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
            // Operations are repeated by their callers, who know how long it is worth it.
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

    /// The shared connection. Never for commands that block.
    pub fn shared(&self) -> RedisLink {
        self.shared.clone()
    }

    /// A connection of its own for commands that block up to `block`.
    pub(crate) async fn blocking(&self, block: Duration) -> Result<RedisLink, StoreError> {
        let patience = block + RESPONSE_TIMEOUT;
        if let Some(cluster) = &self.cluster {
            let config = ClusterConfig::new()
                .set_connection_timeout(CONNECT_TIMEOUT)
                .set_response_timeout(patience);
            return Ok(RedisLink(Kind::Cluster(
                cluster.get_async_connection_with_config(config).await?,
            )));
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(patience));
        let connection = self
            .nodes
            .next()?
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        Ok(RedisLink(Kind::Own(connection)))
    }

    /// A connection that listens. In a cluster any node hears what is published on any.
    pub(crate) async fn listener(&self) -> Result<PubSub, StoreError> {
        tokio::time::timeout(CONNECT_TIMEOUT, self.nodes.next()?.get_async_pubsub())
            .await
            .map_err(|_| StoreError::Unavailable("connecting took too long".to_owned()))?
            .map_err(StoreError::from)
    }
}

fn open(url: &str, tls: Option<&TlsCertificates>) -> Result<Client, RedisError> {
    let server = url.into_connection_info()?.set_tcp_settings(at_once());
    match tls {
        Some(tls) => Client::build_with_tls(server, tls.clone()),
        None => Client::open(server),
    }
}

/// What is written is sent at once; the crate's default waits for the answer to what went before.
fn at_once() -> TcpSettings {
    TcpSettings::default().set_nodelay(true)
}

/// The servers that were configured, taken in turn: one that is away does not stand in the way of
/// what any of them can do.
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
            .ok_or_else(|| StoreError::Unexpected("there is no Redis URL".to_owned()))
    }
}

/// A connection, to a server or to a cluster. Clones share it and pipeline their commands.
#[derive(Clone)]
pub struct RedisLink(Kind);

#[derive(Clone)]
enum Kind {
    Single(ConnectionManager),
    Own(redis::aio::MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl ConnectionLike for RedisLink {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match &mut self.0 {
            Kind::Single(connection) => connection.req_packed_command(cmd),
            Kind::Own(connection) => connection.req_packed_command(cmd),
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
            Kind::Own(connection) => connection.req_packed_commands(pipeline, offset, count),
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
            "accepted jobs of the last second are lost in a power cut",
        ),
        (
            "maxmemory-policy",
            "noeviction",
            "the server may throw jobs away when memory is short",
        ),
    ];
    let mut warnings = Vec::new();
    for (name, wanted, consequence) in expected {
        let answer: Vec<String> = redis::cmd("CONFIG")
            .arg("GET")
            .arg(name)
            .query_async(link)
            .await?;
        match answer.get(1) {
            Some(value) if value != wanted => {
                warnings.push(format!(
                    "Redis has {name} {value} instead of {wanted}: {consequence}"
                ));
            }
            _ => {}
        }
    }
    Ok(warnings)
}
