//! Documents in Redis, shared by any number of processes. Each operation is one command or one
//! script on one key, hence on one node of a Cluster, and all processes see it at once.
//!
//! | key | value |
//! |---|---|
//! | `P:v1:KEY` | a document or a claim |

use std::sync::LazyLock;
use std::time::Duration;

use async_trait::async_trait;
use avalon_queue::{RedisEndpoint, StoreError};
use redis::{Cmd, FromRedisValue, RedisError, Script, ScriptInvocation, ToRedisArgs};

use super::{DocumentError, Documents, Expiry, millis};

/// KEYS: the document. ARGV: expected text ("" for none), new text, and either "" or the `SET`
/// option of the expiry and its value. Returns 1 if the document was written.
static REPLACE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
         if ARGV[3] == '' then redis.call('SET', KEYS[1], ARGV[2])
         else redis.call('SET', KEYS[1], ARGV[2], ARGV[3], ARGV[4]) end
         return 1",
    )
});

/// KEYS: the document. ARGV: expected text. Returns 1 if the document was deleted.
static REMOVE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
         return 0",
    )
});

/// Documents in Redis.
pub struct RedisDocuments {
    endpoint: RedisEndpoint,
    prefix: String,
    timeout: Duration,
}

impl RedisDocuments {
    /// Stores documents under keys that begin with `prefix`; an operation that takes longer than
    /// `timeout` fails.
    pub fn new(endpoint: RedisEndpoint, prefix: &str, timeout: Duration) -> Self {
        Self {
            endpoint,
            prefix: format!("{prefix}:v1:"),
            timeout,
        }
    }

    fn key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, DocumentError> {
        let mut link = self.endpoint.shared();
        self.in_time(command.query_async(&mut link)).await
    }

    async fn invoke(&self, call: &ScriptInvocation<'_>) -> Result<bool, DocumentError> {
        let mut link = self.endpoint.shared();
        self.in_time(call.invoke_async(&mut link)).await
    }

    async fn in_time<T>(
        &self,
        reply: impl Future<Output = Result<T, RedisError>>,
    ) -> Result<T, DocumentError> {
        match tokio::time::timeout(self.timeout, reply).await {
            Ok(reply) => reply.map_err(|error| match StoreError::from(error) {
                StoreError::Unavailable(why) => DocumentError::Unavailable(why),
                other => DocumentError::Refused(other.to_string()),
            }),
            Err(_) => Err(DocumentError::Unavailable("no reply in time".to_owned())),
        }
    }
}

#[async_trait]
impl Documents for RedisDocuments {
    async fn get(&self, key: &str) -> Result<Option<String>, DocumentError> {
        self.query(redis::cmd("GET").arg(self.key(key))).await
    }

    async fn replace(
        &self,
        key: &str,
        seen: Option<&str>,
        new: &str,
        expiry: Expiry,
    ) -> Result<bool, DocumentError> {
        let mut call = REPLACE.prepare_invoke();
        call.key(self.key(key)).arg(seen.unwrap_or_default());
        call.arg(new).arg(expiry);
        self.invoke(&call).await
    }

    async fn remove(&self, key: &str, seen: &str) -> Result<bool, DocumentError> {
        let mut call = REMOVE.prepare_invoke();
        call.key(self.key(key)).arg(seen);
        self.invoke(&call).await
    }

    async fn put(&self, key: &str, new: &str, expiry: Expiry) -> Result<(), DocumentError> {
        let mut command = redis::cmd("SET");
        command.arg(self.key(key)).arg(new);
        if expiry != Expiry::Never {
            command.arg(expiry);
        }
        self.query(&command).await
    }

    async fn claim(&self, key: &str, ttl: Duration) -> Result<bool, DocumentError> {
        let mut command = redis::cmd("SET");
        command.arg(self.key(key)).arg(1);
        command.arg("NX").arg(Expiry::After(ttl));
        let set: Option<String> = self.query(&command).await?;
        Ok(set.is_some())
    }
}

/// The options of `SET`; "" stands for none in a script, whose arguments cannot be absent.
impl ToRedisArgs for Expiry {
    fn write_redis_args<W: ?Sized + redis::RedisWrite>(&self, out: &mut W) {
        match *self {
            Self::Never => "".write_redis_args(out),
            Self::At(at) => ("PXAT", at).write_redis_args(out),
            Self::After(ttl) => ("PX", millis(ttl).max(1)).write_redis_args(out),
        }
    }
}
