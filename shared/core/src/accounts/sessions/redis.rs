//! Sessions in Redis, for any number of processes: one key for each player, so that each step is one
//! command or one script on one Cluster node, and all processes see it at once.
//!
//! | key | what |
//! |---|---|
//! | `P:v1:sessions:USER` | the player's document, with a TTL while not banned |
//! | `P:v1:nonce:{SESSION}:NONCE` | a claimed nonce, with a TTL |
//!
//! The braces keep the client's own text from choosing a Cluster's node.

use std::sync::LazyLock;
use std::time::Duration;

use async_trait::async_trait;
use avalon_queue::{RedisEndpoint, StoreError};
use redis::{RedisError, Script};

use super::store::{SessionStore, SessionStoreError};
use crate::base::ids::{SessionId, UserId};

/// Longer than a healthy server takes, shorter than a player waits.
const PATIENCE: Duration = Duration::from_secs(1);

/// Compares and sets. KEYS: the document. ARGV: what it was ("" for nothing), what it is to be, when
/// it ends in Unix ms ("" for never). Gives 1 when it was set.
static REPLACE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
         if ARGV[3] == '' then redis.call('SET', KEYS[1], ARGV[2])
         else redis.call('SET', KEYS[1], ARGV[2], 'PXAT', ARGV[3]) end
         return 1",
    )
});

/// Sessions in Redis.
pub struct RedisSessions {
    endpoint: RedisEndpoint,
    prefix: String,
}

impl RedisSessions {
    /// Keeps them under keys that begin with `prefix`.
    pub fn new(endpoint: RedisEndpoint, prefix: &str) -> Self {
        Self {
            endpoint,
            prefix: prefix.to_owned(),
        }
    }

    fn document(&self, user: UserId) -> String {
        format!("{}:v1:sessions:{user}", self.prefix)
    }
}

#[async_trait]
impl SessionStore for RedisSessions {
    async fn load(&self, user: UserId) -> Result<Option<String>, SessionStoreError> {
        let mut link = self.endpoint.shared();
        let mut command = redis::cmd("GET");
        command.arg(self.document(user));
        in_time(command.query_async(&mut link)).await
    }

    async fn replace(
        &self,
        user: UserId,
        seen: Option<&str>,
        new: &str,
        expires_at: Option<i64>,
    ) -> Result<bool, SessionStoreError> {
        let mut link = self.endpoint.shared();
        let mut call = REPLACE.prepare_invoke();
        call.key(self.document(user))
            .arg(seen.unwrap_or_default())
            .arg(new)
            .arg(expires_at.map(|at| at.to_string()).unwrap_or_default());
        in_time(call.invoke_async(&mut link)).await
    }

    async fn claim_nonce(
        &self,
        session: SessionId,
        nonce: &str,
        keep: Duration,
    ) -> Result<bool, SessionStoreError> {
        let mut link = self.endpoint.shared();
        let mut command = redis::cmd("SET");
        command
            .arg(format!("{}:v1:nonce:{{{session}}}:{nonce}", self.prefix))
            .arg(1)
            .arg("NX")
            .arg("PX")
            .arg(u64::try_from(keep.as_millis()).unwrap_or(u64::MAX));
        let set: Option<String> = in_time(command.query_async(&mut link)).await?;
        Ok(set.is_some())
    }
}

async fn in_time<T>(
    answer: impl Future<Output = Result<T, RedisError>>,
) -> Result<T, SessionStoreError> {
    match tokio::time::timeout(PATIENCE, answer).await {
        Ok(answer) => answer.map_err(|error| match StoreError::from(error) {
            StoreError::Unavailable(why) => SessionStoreError::Unavailable(why),
            other => SessionStoreError::Refused(other.to_string()),
        }),
        Err(_) => Err(SessionStoreError::Unavailable(
            "it did not answer in time".to_owned(),
        )),
    }
}
