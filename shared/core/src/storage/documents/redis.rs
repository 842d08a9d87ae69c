//! Documents in Redis, shared by any number of processes. Each operation is one command or one
//! script on one key, hence on one node of a Cluster, and all processes see it at once.
//!
//! | key | value |
//! |---|---|
//! | `P:v1:KEY` | a document, a claim, or the marker of claims: their epoch, Unix seconds |

use std::sync::LazyLock;
use std::time::Duration;

use async_trait::async_trait;
use avalon_queue::{Invalidated, RedisEndpoint, StoreError, TrackedReads};
use redis::{Cmd, RedisError, Script};

use super::{Claim, ClaimTimes, DocumentError, Documents, millis};

/// KEYS: the document. ARGV: expected text ("" for none), new text, TTL in ms ("" for none). Returns 1 if
/// the document was written.
static REPLACE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
         if ARGV[3] == '' then redis.call('SET', KEYS[1], ARGV[2])
         else redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
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

/// KEYS: the claim, the marker. ARGV: TTL in ms, time of the request, our time (both Unix seconds). Returns 0
/// taken, 1 claimed, 2 maybe lost. Without a marker, claims were lost: those of requests up to this second. A
/// marker later than that is of a clock that was stepped back.
static CLAIM_AT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local epoch, next = redis.call('GET', KEYS[2]), ARGV[3] + 1
         epoch = epoch and tonumber(epoch)
         if not epoch then
             epoch = next
             redis.call('SET', KEYS[2], string.format('%d', epoch))
         end
         if tonumber(ARGV[2]) < math.min(epoch, next) then return 2 end
         if redis.call('SET', KEYS[1], '1', 'NX', 'PX', ARGV[1]) then return 1 end
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

    /// Reads whose values may be kept until `invalidate` is called with their key or [`Invalidated::All`]; `None`
    /// in a Cluster.
    pub fn tracked(
        &self,
        invalidate: impl Fn(Invalidated<'_>) + Send + Sync + 'static,
    ) -> Option<TrackedDocuments> {
        let prefix = self.prefix.clone();
        let reads = self
            .endpoint
            .tracked_reads(move |invalidated| match invalidated {
                Invalidated::Key(key) => {
                    if let Some(key) = key.strip_prefix(&prefix) {
                        invalidate(Invalidated::Key(key));
                    }
                }
                Invalidated::All => invalidate(Invalidated::All),
            })?;
        let prefix = self.prefix.clone();
        Some(TrackedDocuments { reads, prefix })
    }

    fn key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    async fn query(&self, command: &Cmd) -> Result<Option<String>, DocumentError> {
        let mut link = self.endpoint.shared();
        self.in_time(command.query_async(&mut link)).await
    }

    async fn invoke(
        &self,
        script: &Script,
        key: &str,
        arguments: &[&str],
    ) -> Result<bool, DocumentError> {
        let mut link = self.endpoint.shared();
        let mut call = script.key(self.key(key));
        call.arg(arguments);
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

/// Documents that Redis invalidates when they change.
pub struct TrackedDocuments {
    reads: TrackedReads,
    prefix: String,
}

impl TrackedDocuments {
    /// Whether all documents that were read and not invalidated are valid.
    pub fn are_valid(&self) -> bool {
        self.reads.are_valid()
    }

    /// Reads a document.
    ///
    /// # Errors
    /// As [`TrackedReads::get`]; [`Documents::get`] may nevertheless work.
    pub async fn get(&self, key: &str) -> Result<Option<String>, StoreError> {
        self.reads.get(&format!("{}{key}", self.prefix)).await
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
        ttl: Option<Duration>,
    ) -> Result<bool, DocumentError> {
        let ttl = ttl.map(|ttl| millis(ttl).to_string()).unwrap_or_default();
        let arguments = [seen.unwrap_or_default(), new, &ttl];
        self.invoke(&REPLACE, key, &arguments).await
    }

    async fn remove(&self, key: &str, seen: &str) -> Result<bool, DocumentError> {
        self.invoke(&REMOVE, key, &[seen]).await
    }

    async fn claim_at(
        &self,
        key: &str,
        epoch: &str,
        times: ClaimTimes,
    ) -> Result<Claim, DocumentError> {
        let mut link = self.endpoint.shared();
        let mut call = CLAIM_AT.key(self.key(key));
        call.key(self.key(epoch));
        call.arg(&[millis(times.ttl), times.at, times.now]);
        let reply: i64 = self.in_time(call.invoke_async(&mut link)).await?;
        Ok(match reply {
            0 => Claim::Taken,
            1 => Claim::Claimed,
            _ => Claim::MaybeLost,
        })
    }

    async fn begin_epoch(&self, epoch: &str, now: i64) -> Result<(), DocumentError> {
        let mut command = redis::cmd("SET");
        command.arg(self.key(epoch)).arg(now).arg("NX");
        self.query(&command).await.map(drop)
    }

    async fn put(&self, key: &str, new: &str, ttl: Option<Duration>) -> Result<(), DocumentError> {
        let mut command = redis::cmd("SET");
        command.arg(self.key(key)).arg(new);
        if let Some(ttl) = ttl {
            command.arg("PX").arg(millis(ttl));
        }
        self.query(&command).await.map(drop)
    }
}
