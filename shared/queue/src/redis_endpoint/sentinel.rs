//! Asks the Sentinels of a service for its primary. The answer is verified (the server itself must
//! report the role) and not cached: every new connection asks again, and so follows a failover.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{Client, ConnectionAddr, ErrorKind, RedisError, TlsCertificates, TlsMode};

use super::tcp_settings;
use super::url::SentinelUrl;

/// Maximum duration of a lookup. The library asks three Sentinels at a time.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

type Lookup = Shared<BoxFuture<'static, Result<Client, RedisError>>>;

/// The Sentinels of a service.
pub(super) struct Sentinels {
    client: Arc<tokio::sync::Mutex<SentinelClient>>,
    /// The lookup in progress. Connections that are opened meanwhile share it: while Sentinels are
    /// down, each lookup takes as long as a connection attempt.
    lookup: Mutex<Option<Lookup>>,
}

impl Sentinels {
    pub(super) fn new(url: &SentinelUrl, tls: Option<TlsCertificates>) -> Result<Self, RedisError> {
        let address = |(host, port): &(String, u16)| match url.tls {
            true => ConnectionAddr::TcpTls {
                host: host.clone(),
                port: *port,
                insecure: false,
                tls_params: None,
            },
            false => ConnectionAddr::Tcp(host.clone(), *port),
        };
        let sentinels = url.sentinels.iter().map(address);
        let mut client =
            SentinelClientBuilder::new(sentinels, &url.service, SentinelServerType::Master)?
                .set_client_to_redis_tcp_settings(tcp_settings())
                .set_client_to_sentinel_tcp_settings(tcp_settings());
        let servers = url.servers.redis_settings();
        client = client.set_client_to_redis_db(servers.db());
        if let Some(username) = servers.username() {
            client = client.set_client_to_redis_username(username);
        }
        if let Some(password) = servers.password() {
            client = client.set_client_to_redis_password(password);
        }
        let own = url.own.redis_settings();
        if let Some(username) = own.username() {
            client = client.set_client_to_sentinel_username(username);
        }
        if let Some(password) = own.password() {
            client = client.set_client_to_sentinel_password(password);
        }
        if url.tls {
            client = client.set_client_to_redis_tls_mode(TlsMode::Secure);
        }
        if let Some(tls) = tls {
            client = client
                .set_client_to_redis_certificates(tls.clone())
                .set_client_to_sentinel_certificates(tls);
        }
        Ok(Self {
            client: Arc::new(tokio::sync::Mutex::new(client.build()?)),
            lookup: Mutex::default(),
        })
    }

    /// Looks the primary up, or joins a lookup in progress.
    pub(super) async fn primary(&self) -> Result<Client, RedisError> {
        let lookup = {
            let mut slot = self.lookup.lock().unwrap_or_else(PoisonError::into_inner);
            match &*slot {
                Some(lookup) if lookup.peek().is_none() => lookup.clone(),
                _ => {
                    let lookup = look_up(Arc::clone(&self.client)).boxed().shared();
                    *slot = Some(lookup.clone());
                    lookup
                }
            }
        };
        lookup.await
    }
}

async fn look_up(client: Arc<tokio::sync::Mutex<SentinelClient>>) -> Result<Client, RedisError> {
    let mut client = client.lock().await;
    tokio::time::timeout(LOOKUP_TIMEOUT, client.async_get_client())
        .await
        .unwrap_or_else(|_| Err((ErrorKind::Io, "no Sentinel responded in time").into()))
}
