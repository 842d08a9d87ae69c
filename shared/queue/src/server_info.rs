//! The part of Redis' `INFO` that the queue's guarantees depend on. For metrics and `avalon doctor`;
//! nothing in the engine depends on it.

use std::time::Duration;

use futures_util::future::join_all;
use redis::{AsyncConnectionConfig, Client, InfoDict, RedisError};

use crate::redis_endpoint::RedisEndpoint;

/// A server that takes longer than this to respond is left out.
const TIMEOUT: Duration = Duration::from_secs(1);

/// A snapshot of one server.
#[derive(Clone, Debug)]
pub struct ServerInfo {
    /// Configured address, `host:port`; of Sentinels the primary's.
    pub node: String,
    /// Version, such as `7.0.15`.
    pub version: String,
    /// Memory used for data, in bytes.
    pub used_memory: u64,
    /// Memory limit in bytes; 0: unlimited.
    pub maxmemory: u64,
    /// Eviction policy at the memory limit; only `noeviction` loses no jobs.
    pub maxmemory_policy: String,
    /// Keys evicted since the server started.
    pub evicted_keys: u64,
    /// Whether the append-only file is enabled.
    pub aof_enabled: bool,
    /// Whether the last write to the append-only file succeeded.
    pub aof_last_write_ok: bool,
    /// Number of client connections.
    pub connected_clients: u64,
    /// Whether the server is a primary and accepts writes.
    pub primary: bool,
}

impl RedisEndpoint {
    /// Returns the state of the configured servers, without those that do not respond.
    pub async fn servers(&self) -> Vec<ServerInfo> {
        let clients = self.clients().await;
        let requests = clients.iter().map(|client| async move {
            let node = client.get_connection_info().addr().to_string();
            match tokio::time::timeout(TIMEOUT, info_of(client)).await {
                Ok(Ok(info)) => Some(parse(node, &info)),
                Ok(Err(error)) => {
                    tracing::debug!(node, %error, "reading INFO from Redis failed");
                    None
                }
                Err(_) => None,
            }
        });
        join_all(requests).await.into_iter().flatten().collect()
    }
}

async fn info_of(client: &Client) -> Result<InfoDict, RedisError> {
    let config = AsyncConnectionConfig::new().set_connection_timeout(Some(TIMEOUT));
    let mut connection = client
        .get_multiplexed_async_connection_with_config(&config)
        .await?;
    redis::cmd("INFO").query_async(&mut connection).await
}

fn parse(node: String, info: &InfoDict) -> ServerInfo {
    let word = |name: &str| info.get::<String>(name).unwrap_or_default();
    let number = |name: &str| info.get::<u64>(name).unwrap_or_default();
    ServerInfo {
        node,
        version: word("redis_version"),
        used_memory: number("used_memory"),
        maxmemory: number("maxmemory"),
        maxmemory_policy: word("maxmemory_policy"),
        evicted_keys: number("evicted_keys"),
        aof_enabled: number("aof_enabled") == 1,
        aof_last_write_ok: word("aof_last_write_status") == "ok",
        connected_clients: number("connected_clients"),
        primary: word("role") == "master",
    }
}
