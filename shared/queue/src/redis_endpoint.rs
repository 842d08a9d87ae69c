//! Connections to Redis (one server, a Cluster, or a service of Sentinels): a shared, pipelining
//! connection for commands that return at once, and dedicated ones for commands that block. Used by
//! the queue's engine and by every other part of a process that stores data in Redis.
//!
//! After a failover all connections reach the new primary within seconds, also if the address is the
//! same and the demoted server keeps the old connections open: a reply that only a server without a
//! write role gives (`redis_reply`) on any connection replaces the shared one and the subscriptions.

mod link;
mod sentinel;
mod tracked_reads;
mod url;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use redis::aio::{MultiplexedConnection, PubSub};
use redis::cluster::{ClusterClient, ClusterConfig};
use redis::io::tcp::TcpSettings;
use redis::{AsyncConnectionConfig, Client, ErrorKind, RedisError};
use redis::{IntoConnectionInfo, TlsCertificates};
use tokio::sync::watch;

use crate::store::StoreError;

use link::Failovers;
pub use link::RedisLink;
use sentinel::Sentinels;
pub use tracked_reads::{Invalidated, TrackedReads};
pub use url::RedisUrl;
use url::{Target, malformed};

/// Maximum time to establish a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// First line of a certificate in PEM.
const PEM_CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----";
/// Maximum response time of a command that does not block.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(3);

/// A server, a Cluster or a service of Sentinels, with the shared connection to it. Clones share the
/// connection.
#[derive(Clone)]
pub struct RedisEndpoint {
    source: Source,
    cluster: Option<ClusterClient>,
    failovers: Failovers,
    shared: RedisLink,
}

impl RedisEndpoint {
    /// Parses a [`RedisUrl`]. Connects on first use; while the server is down, commands fail. With TLS
    /// the server's certificate must be trusted by the system.
    ///
    /// # Errors
    /// If the URL is malformed. The error does not contain the URL, which may hold a password.
    pub fn new(url: &str) -> Result<Self, StoreError> {
        Self::with_authority(url, None)
    }

    /// Like [`RedisEndpoint::new`], for servers whose certificates are signed by this authority (PEM)
    /// instead of one that the system trusts.
    ///
    /// # Errors
    /// As [`RedisEndpoint::new`]; also if the URL is without TLS or the authority cannot be parsed.
    pub fn with_authority(url: &str, authority: Option<&str>) -> Result<Self, StoreError> {
        let url = RedisUrl::parse(url)?;
        // The library silently trusts no certificate without a PEM block.
        let no_authority = |pem: &str| !pem.contains(PEM_CERTIFICATE) || !url.uses_tls();
        if authority.is_some_and(no_authority) {
            return Err(malformed());
        }
        let tls = authority.map(|pem| TlsCertificates {
            client_tls: None,
            root_cert: Some(pem.as_bytes().to_vec()),
        });
        let urls = match &url.target {
            Target::Sentinels(sentinels) => {
                let failovers = Failovers::new();
                let sentinels = Sentinels::new(sentinels, tls, failovers.clone());
                let sentinels = Arc::new(sentinels.map_err(|_| malformed())?);
                return Ok(Self::shared_over(Source::Sentinels(sentinels), failovers));
            }
            Target::Servers(urls) => urls,
        };
        let nodes: Result<Vec<_>, _> = urls
            .iter()
            .map(|url| open(url.as_str(), tls.as_ref()))
            .collect();
        let source = Source::Servers(Nodes::new(nodes.map_err(|_| malformed())?));
        if urls.len() == 1 {
            return Ok(Self::shared_over(source, Failovers::new()));
        }
        let cluster = ClusterClient::builder(urls.iter().map(String::as_str));
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
        let config = ClusterConfig::new();
        let shared = cluster.get_pending_async_connection_with_config(config);
        Ok(Self {
            source,
            cluster: Some(cluster),
            // The library follows the failovers of a Cluster.
            failovers: Failovers::new(),
            shared: RedisLink::cluster(shared),
        })
    }

    /// The endpoint of one server at a time.
    fn shared_over(source: Source, failovers: Failovers) -> Self {
        Self {
            shared: RedisLink::shared(source.clone(), failovers.clone()),
            source,
            cluster: None,
            failovers,
        }
    }

    /// The configured servers; of Sentinels the current primary, or none while it cannot be looked up.
    pub(crate) async fn clients(&self) -> Vec<Client> {
        match &self.source {
            Source::Servers(nodes) => nodes.clients.to_vec(),
            Source::Sentinels(sentinels) => sentinels.primary().await.into_iter().collect(),
        }
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
            let connection = cluster.get_async_connection_with_config(config).await?;
            return Ok(RedisLink::cluster(connection));
        }
        let failovers = self.failovers.clone();
        Ok(RedisLink::dedicated(&self.source, failovers, response_timeout).await?)
    }

    /// Opens a connection for subscriptions. In a Cluster, messages reach the subscribers of every node.
    pub(crate) async fn listener(&self) -> Result<PubSub, StoreError> {
        let client = self.source.client().await?;
        tokio::time::timeout(CONNECT_TIMEOUT, client.get_async_pubsub())
            .await
            .map_err(|_| StoreError::Unavailable("connecting timed out".to_owned()))?
            .map_err(StoreError::from)
    }

    /// Changes when a connection notices a failover. Subscriptions, which may not notice it themselves,
    /// must then be opened again.
    pub(crate) fn failovers(&self) -> watch::Receiver<u64> {
        self.failovers.subscribe()
    }
}

/// Where connections lead.
#[derive(Clone)]
enum Source {
    Servers(Nodes),
    Sentinels(Arc<Sentinels>),
}

impl Source {
    async fn client(&self) -> Result<Client, RedisError> {
        match self {
            Self::Servers(nodes) => nodes.next(),
            Self::Sentinels(sentinels) => sentinels.primary().await,
        }
    }

    async fn connect(
        &self,
        config: &AsyncConnectionConfig,
    ) -> Result<MultiplexedConnection, RedisError> {
        let client = self.client().await?;
        client
            .get_multiplexed_async_connection_with_config(config)
            .await
    }
}

fn open(
    server: impl IntoConnectionInfo,
    tls: Option<&TlsCertificates>,
) -> Result<Client, RedisError> {
    let server = server.into_connection_info()?;
    let server = server.set_tcp_settings(tcp_settings());
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

    fn next(&self) -> Result<Client, RedisError> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let client = self.clients.get(turn % self.clients.len().max(1));
        let none = (ErrorKind::InvalidClientConfig, "no Redis URL is configured");
        client.cloned().ok_or_else(|| none.into())
    }
}

/// Writes a key with a TTL: a server that is read-only or out of memory fails the check, as it would
/// fail every job.
pub(crate) async fn check_write(link: &mut RedisLink, key: &str) -> Result<(), StoreError> {
    let mut command = redis::cmd("SET");
    command.arg(key).arg(1).arg("PX").arg(10_000);
    Ok(command.exec_async(link).await?)
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
