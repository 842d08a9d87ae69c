//! What a Redis server tells of itself (`INFO`), as far as the queue's promises rest on it. For
//! metrics and for checks by hand; nothing in the engine depends on it.

use std::time::Duration;

use futures_util::future::join_all;
use redis::{AsyncConnectionConfig, Client, InfoDict, RedisError};

use crate::redis_endpoint::RedisEndpoint;

/// A server that takes longer than this is left out.
const PATIENCE: Duration = Duration::from_secs(1);

/// One server at one moment.
#[derive(Clone, Debug)]
pub struct ServerInfo {
    /// Its configured address, `host:port`.
    pub node: String,
    /// Version, such as `7.0.15`.
    pub version: String,
    /// Bytes in use for data.
    pub used_memory: u64,
    /// Most bytes that it may use; 0: no limit.
    pub maxmemory: u64,
    /// What it does when that is reached; `noeviction` keeps jobs.
    pub maxmemory_policy: String,
    /// Keys thrown away for want of memory since its start.
    pub evicted_keys: u64,
    /// Whether the append-only file is on.
    pub aof_enabled: bool,
    /// Whether its last write succeeded.
    pub aof_last_write_ok: bool,
    /// Connections to it.
    pub connected_clients: u64,
    /// Whether it takes writes.
    pub primary: bool,
}

impl RedisEndpoint {
    /// What the configured servers tell of themselves. Those that do not answer are left out.
    pub async fn servers(&self) -> Vec<ServerInfo> {
        let asked = self.clients().iter().map(|client| async move {
            let node = client.get_connection_info().addr().to_string();
            match tokio::time::timeout(PATIENCE, ask(client)).await {
                Ok(Ok(info)) => Some(read(node, &info)),
                Ok(Err(error)) => {
                    tracing::debug!(node, %error, "Redis does not tell about itself");
                    None
                }
                Err(_) => None,
            }
        });
        join_all(asked).await.into_iter().flatten().collect()
    }
}

async fn ask(client: &Client) -> Result<InfoDict, RedisError> {
    let config = AsyncConnectionConfig::new().set_connection_timeout(Some(PATIENCE));
    let mut connection = client
        .get_multiplexed_async_connection_with_config(&config)
        .await?;
    redis::cmd("INFO").query_async(&mut connection).await
}

fn read(node: String, info: &InfoDict) -> ServerInfo {
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
