//! The access token of a fleet, in Redis. Both keys share a hash tag, so they are on one node of a
//! Cluster.
//!
//! | key | what |
//! |---|---|
//! | `P:v1:{access_token}:document` | the document, with the sealed token and its end; two days after its last change it is gone |
//! | `P:v1:{access_token}:lease` | who fetches, with a TTL |

use std::sync::LazyLock;
use std::time::Duration;

use async_trait::async_trait;
use avalon_queue::{RedisEndpoint, StoreError};
use redis::{RedisError, Script};

use super::store::TokenStore;

/// Longer than a healthy server takes.
const PATIENCE: Duration = Duration::from_secs(2);
/// Longer than a token lives and than forced renewals are counted.
const KEEP: Duration = Duration::from_secs(2 * 24 * 3600);

/// KEYS: the document. ARGV: what it was ("" for nothing), what it is to be, ms to keep it.
static REPLACE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
         redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
         return 1",
    )
});

/// KEYS: the lease. ARGV: whose it must be to be deleted.
static RELEASE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
         return 0",
    )
});

/// The token of all processes that use this Redis and prefix.
pub struct RedisTokens {
    endpoint: RedisEndpoint,
    document: String,
    lease: String,
}

impl RedisTokens {
    /// Keeps it under keys that begin with `prefix`.
    pub fn new(endpoint: RedisEndpoint, prefix: &str) -> Self {
        Self {
            endpoint,
            document: format!("{prefix}:v1:{{access_token}}:document"),
            lease: format!("{prefix}:v1:{{access_token}}:lease"),
        }
    }
}

#[async_trait]
impl TokenStore for RedisTokens {
    async fn load(&self) -> Result<Option<String>, StoreError> {
        let mut link = self.endpoint.shared();
        let mut command = redis::cmd("GET");
        command.arg(&self.document);
        in_time(command.query_async(&mut link)).await
    }

    async fn replace(&self, seen: Option<&str>, new: &str) -> Result<bool, StoreError> {
        let mut link = self.endpoint.shared();
        let mut call = REPLACE.prepare_invoke();
        call.key(&self.document)
            .arg(seen.unwrap_or_default())
            .arg(new)
            .arg(millis(KEEP));
        in_time(call.invoke_async(&mut link)).await
    }

    async fn lease(&self, owner: &str, ttl: Duration) -> Result<bool, StoreError> {
        let mut link = self.endpoint.shared();
        let mut command = redis::cmd("SET");
        command
            .arg(&self.lease)
            .arg(owner)
            .arg("NX")
            .arg("PX")
            .arg(millis(ttl));
        let set: Option<String> = in_time(command.query_async(&mut link)).await?;
        Ok(set.is_some())
    }

    async fn release(&self, owner: &str) -> Result<(), StoreError> {
        let mut link = self.endpoint.shared();
        let mut call = RELEASE.prepare_invoke();
        call.key(&self.lease).arg(owner);
        let _: bool = in_time(call.invoke_async(&mut link)).await?;
        Ok(())
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

async fn in_time<T>(answer: impl Future<Output = Result<T, RedisError>>) -> Result<T, StoreError> {
    match tokio::time::timeout(PATIENCE, answer).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(StoreError::Unavailable(
            "it did not answer in time".to_owned(),
        )),
    }
}
