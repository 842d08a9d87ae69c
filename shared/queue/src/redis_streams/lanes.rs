//! One lane of a queue: its keys, the blocking read that leases jobs, the promotion of delayed jobs,
//! and the renewal of leases.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use redis::streams::{StreamId, StreamInfoConsumersReply, StreamReadReply};
use redis::{RedisError, Value};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::{listeners, scripts};
use crate::job::{JobId, NewJob, QueueName, millis, now_ms};
use crate::redis_endpoint::{RedisEndpoint, RedisLink};
use crate::store::{Consumer, Lane, Lease, Leased, StoreError};

/// Consumer group of all workers of a lane.
const GROUP: &str = "workers";
/// Maximum time between two promotions, in case a notification was lost.
const MAX_PROMOTE_INTERVAL: Duration = Duration::from_secs(5);

/// The keys of a lane.
#[derive(Clone)]
pub(super) struct LaneKeys {
    /// Prefix of the keys, with the hash tag that maps them to one Cluster node.
    pub(super) base: String,
    /// Name of the lane on the due channel.
    pub(super) lane: String,
    pub(super) ready: String,
    pub(super) delayed: String,
    pub(super) dead: String,
}

impl LaneKeys {
    pub(super) fn new(prefix: &str, lane: &Lane) -> Self {
        let name = format!("{}.{}", lane.queue, lane.shard);
        let base = format!("{prefix}:v1:{{{name}}}:");
        Self {
            ready: format!("{base}ready"),
            delayed: format!("{base}delayed"),
            dead: format!("{base}dead"),
            lane: name,
            base,
        }
    }

    pub(super) fn record(&self, id: JobId) -> String {
        format!("{}job:{id}", self.base)
    }
}

/// An undecoded entry of the ready stream.
pub(super) struct Entry {
    id: String,
    fields: HashMap<String, Value>,
}

/// An entry that cannot be decoded.
pub(super) struct Undecodable {
    pub(super) entry: String,
    /// The job's id if that can be decoded, else a new one.
    pub(super) id: JobId,
    pub(super) reason: String,
}

impl Entry {
    fn text(&self, field: &str) -> Option<String> {
        self.fields
            .get(field)
            .and_then(|value| redis::from_redis_value_ref(value).ok())
    }

    fn number(&self, field: &str) -> Option<u32> {
        self.text(field)?.parse().ok()
    }

    pub(super) fn decode(self, lane: &Lane) -> Result<Leased, Undecodable> {
        let body = self.text("j").unwrap_or_default();
        match serde_json::from_str::<NewJob>(&body) {
            Ok(job) => Ok(Leased {
                job: Arc::new(job),
                attempt: self.number("a").unwrap_or(0) + 1,
                lost_leases: self.number("l").unwrap_or(0),
                ready_at: entry_time(&self.id).unwrap_or_else(now_ms),
                lease: Lease {
                    lane: lane.clone(),
                    token: self.id,
                },
            }),
            Err(error) => Err(Undecodable {
                id: self
                    .text("i")
                    .and_then(|id| id.parse().ok())
                    .unwrap_or_else(JobId::generate),
                reason: error.to_string(),
                entry: self.id,
            }),
        }
    }
}

/// The time at which an entry was added, Unix ms: the first part of its id.
fn entry_time(id: &str) -> Option<u64> {
    id.split('-').next()?.parse().ok()
}

/// Leases jobs from a lane, and promotes its delayed jobs from the first read until it is dropped.
pub(super) struct LaneReader {
    endpoint: RedisEndpoint,
    keys: LaneKeys,
    due_channel: String,
    /// The blocking connection. Taken during a read, and dropped if the read fails.
    connection: Mutex<Option<RedisLink>>,
    /// Entries that this process holds. Other pending entries of its consumer were delivered to a
    /// connection that broke before they were read.
    held: Mutex<HashSet<String>>,
    tasks: OnceLock<[AbortHandle; 2]>,
}

impl Drop for LaneReader {
    fn drop(&mut self) {
        for task in self.tasks.get().into_iter().flatten() {
            task.abort();
        }
    }
}

impl LaneReader {
    pub(super) fn new(endpoint: RedisEndpoint, keys: LaneKeys, due_channel: String) -> Self {
        Self {
            endpoint,
            keys,
            due_channel,
            connection: Mutex::default(),
            held: Mutex::default(),
            tasks: OnceLock::new(),
        }
    }

    /// Reads up to `max` entries, waiting up to `block` for the first one.
    pub(super) async fn read(
        &self,
        consumer: &str,
        max: usize,
        block: Duration,
    ) -> Result<Vec<Entry>, StoreError> {
        self.start_promotion();
        let existing = self
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
            .filter(RedisLink::is_current);
        let fresh = existing.is_none();
        let mut link = match existing {
            Some(link) => link,
            None => self.endpoint.blocking(block).await?,
        };
        let unread = if fresh {
            self.read_unread(&mut link, consumer, max).await?
        } else {
            vec![]
        };
        // The connection is stored only once nothing is left to recover.
        if !unread.is_empty() {
            self.hold(&unread);
            return Ok(unread);
        }
        let entries = self.read_new(&mut link, consumer, max, block).await?;
        self.hold(&entries);
        *self
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(link);
        Ok(entries)
    }

    /// Forgets an entry that was settled or lost.
    pub(super) fn release(&self, entry: &str) {
        self.held
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(entry);
    }

    fn hold(&self, entries: &[Entry]) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.extend(entries.iter().map(|entry| entry.id.clone()));
    }

    async fn read_new(
        &self,
        link: &mut RedisLink,
        consumer: &str,
        max: usize,
        block: Duration,
    ) -> Result<Vec<Entry>, StoreError> {
        let mut command = redis::cmd("XREADGROUP");
        command
            .arg("GROUP")
            .arg(GROUP)
            .arg(consumer)
            .arg("COUNT")
            .arg(max);
        command.arg("BLOCK").arg(millis(block).max(1));
        command.arg("STREAMS").arg(&self.keys.ready).arg(">");
        match command.query_async::<Option<StreamReadReply>>(link).await {
            Ok(reply) => Ok(entries_of(reply)),
            // The first read of this lane, or the server has lost its data.
            Err(error) if error.code() == Some("NOGROUP") => {
                create_group(link, &self.keys.ready).await?;
                Ok(vec![])
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Reads the entries that Redis delivered to this consumer and this process never received.
    async fn read_unread(
        &self,
        link: &mut RedisLink,
        consumer: &str,
        max: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let mut unread = Vec::new();
        let mut after = "0".to_owned();
        loop {
            let mut command = redis::cmd("XREADGROUP");
            command
                .arg("GROUP")
                .arg(GROUP)
                .arg(consumer)
                .arg("COUNT")
                .arg(1000);
            command.arg("STREAMS").arg(&self.keys.ready).arg(&after);
            let page = match command.query_async::<Option<StreamReadReply>>(link).await {
                Ok(reply) => entries_of(reply),
                Err(error) if error.code() == Some("NOGROUP") => return Ok(unread),
                Err(error) => return Err(error.into()),
            };
            let Some(last) = page.last() else {
                return Ok(unread);
            };
            after.clone_from(&last.id);
            let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            unread.extend(
                page.into_iter()
                    .filter(|entry| !entry.fields.is_empty() && !held.contains(&entry.id)),
            );
            if unread.len() >= max {
                unread.truncate(max);
                return Ok(unread);
            }
        }
    }

    fn start_promotion(&self) {
        self.tasks.get_or_init(|| {
            let due_earlier = Arc::new(Notify::new());
            let listener = listeners::spawn_due(
                self.endpoint.clone(),
                self.due_channel.clone(),
                self.keys.lane.clone(),
                Arc::clone(&due_earlier),
            );
            let promoter = tokio::spawn(promote_loop(
                self.endpoint.clone(),
                self.keys.clone(),
                due_earlier,
            ));
            [listener, promoter.abort_handle()]
        });
    }
}

/// Makes delayed jobs ready when they are due, to the millisecond, in bounded batches.
async fn promote_loop(endpoint: RedisEndpoint, keys: LaneKeys, due_earlier: Arc<Notify>) {
    loop {
        let wait = match scripts::promote(&mut endpoint.shared(), &keys).await {
            Ok((_, Some(0))) => continue,
            Ok((_, Some(next))) => Duration::from_millis(next).min(MAX_PROMOTE_INTERVAL),
            Ok((_, None)) => MAX_PROMOTE_INTERVAL,
            Err(error) => {
                tracing::debug!(lane = keys.lane, %error, "promoting delayed jobs failed, will retry");
                Duration::from_millis(200)
            }
        };
        let _ = tokio::time::timeout(wait, due_earlier.notified()).await;
    }
}

fn entries_of(reply: Option<StreamReadReply>) -> Vec<Entry> {
    reply
        .into_iter()
        .flat_map(|reply| reply.keys)
        .flat_map(|stream| stream.ids)
        .map(|StreamId { id, map, .. }| Entry { id, fields: map })
        .collect()
}

async fn create_group(link: &mut RedisLink, ready: &str) -> Result<(), StoreError> {
    let mut command = redis::cmd("XGROUP");
    // From the start of the stream, which holds the jobs enqueued before the first worker started.
    command
        .arg("CREATE")
        .arg(ready)
        .arg(GROUP)
        .arg("0")
        .arg("MKSTREAM");
    match command.query_async::<Value>(link).await {
        Err(error) if error.code() != Some("BUSYGROUP") => Err(error.into()),
        _ => Ok(()),
    }
}

/// Renews the leases of entries; returns those that are still held.
pub(super) async fn extend(
    link: &mut RedisLink,
    keys: &LaneKeys,
    consumer: &str,
    entries: &[(usize, &str)],
) -> Result<HashSet<String>, StoreError> {
    let mut held = HashSet::new();
    for part in entries.chunks(super::BATCH) {
        let mut command = redis::cmd("XCLAIM");
        command.arg(&keys.ready).arg(GROUP).arg(consumer).arg(0);
        for (_, entry) in part {
            command.arg(entry);
        }
        // JUSTID resets the idle time without incrementing the delivery count.
        command.arg("JUSTID");
        match command.query_async::<Vec<String>>(link).await {
            Ok(claimed) => held.extend(claimed),
            Err(error) if error.code() == Some("NOGROUP") => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(held)
}

/// Whether there is no group, or no stream at all.
fn is_absent(error: &RedisError) -> bool {
    let no_key = |detail: &str| detail.contains("no such key");
    error.code() == Some("NOGROUP")
        || (error.code() == Some("ERR") && error.detail().is_some_and(no_key))
}

/// Lists the consumers of a lane; none if no worker has used it.
pub(super) async fn consumers(
    link: &mut RedisLink,
    keys: &LaneKeys,
    queue: &QueueName,
) -> Result<Vec<Consumer>, StoreError> {
    let mut command = redis::cmd("XINFO");
    command.arg("CONSUMERS").arg(&keys.ready).arg(GROUP);
    let reply: StreamInfoConsumersReply = match command.query_async(link).await {
        Ok(reply) => reply,
        Err(error) if is_absent(&error) => return Ok(vec![]),
        Err(error) => return Err(error.into()),
    };
    let consumer = |found: redis::streams::StreamInfoConsumer| Consumer {
        queue: queue.clone(),
        name: found.name,
        silent: Duration::from_millis(found.idle as u64),
    };
    Ok(reply.consumers.into_iter().map(consumer).collect())
}
