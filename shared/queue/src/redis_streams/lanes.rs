//! One lane of a queue: its keys, the blocking read that takes jobs from it, the promotion of its
//! delayed jobs, and the renewal of its leases.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use redis::Value;
use redis::streams::{StreamId, StreamInfoConsumersReply, StreamReadReply};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::{listeners, scripts};
use crate::job::{JobId, NewJob, QueueName, millis, now_ms};
use crate::redis_endpoint::{RedisEndpoint, RedisLink};
use crate::store::{Consumer, Lane, Lease, Leased, StoreError};

/// The consumer group that all workers of a lane share.
const GROUP: &str = "workers";
/// Promotion looks at least this often, should a wake-up have been lost.
const PROMOTE_AT_LEAST_EVERY: Duration = Duration::from_secs(5);

/// The keys of a lane.
#[derive(Clone)]
pub(super) struct LaneKeys {
    /// What its keys begin with; also the hash tag that keeps them on one Cluster node.
    pub(super) base: String,
    /// The lane's name on the due channel.
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

/// An entry of the ready stream, as read.
pub(super) struct Entry {
    id: String,
    fields: HashMap<String, Value>,
}

/// An entry that is not a job.
pub(super) struct Undecodable {
    pub(super) entry: String,
    /// The job's id when that much can be read, else a new one.
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

/// A stream entry's id begins with the Unix ms at which it was added.
fn entry_time(id: &str) -> Option<u64> {
    id.split('-').next()?.parse().ok()
}

/// Takes jobs from a lane, and keeps its delayed jobs moving as long as it lives.
pub(super) struct LaneReader {
    endpoint: RedisEndpoint,
    keys: LaneKeys,
    due_channel: String,
    /// The blocking connection, taken out while a read is under way.
    connection: Mutex<Option<RedisLink>>,
    /// Entries that this process holds. What Redis thinks is ours beyond these was lost on the way
    /// to us (the connection broke between the server's delivery and our reading it).
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

    /// Up to `max` entries, waiting up to `block` for the first one.
    pub(super) async fn read(
        &self,
        consumer: &str,
        max: usize,
        block: Duration,
    ) -> Result<Vec<Entry>, StoreError> {
        self.keep_delayed_jobs_moving();
        let kept = self
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let fresh = kept.is_none();
        let mut link = match kept {
            Some(link) => link,
            None => self.endpoint.blocking(block).await?,
        };
        let lost = if fresh {
            self.lost_on_the_way(&mut link, consumer, max).await?
        } else {
            vec![]
        };
        // A connection stays fresh until nothing is left to recover.
        if !lost.is_empty() {
            self.hold(&lost);
            return Ok(lost);
        }
        let entries = self.read_new(&mut link, consumer, max, block).await?;
        self.hold(&entries);
        *self
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(link);
        Ok(entries)
    }

    /// This process has answered the entry, or has lost it.
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
            // The first read ever, or the server has lost its data.
            Err(error) if error.code() == Some("NOGROUP") => {
                create_group(link, &self.keys.ready).await?;
                Ok(vec![])
            }
            Err(error) => Err(error.into()),
        }
    }

    /// What Redis handed to this consumer but this process never saw.
    async fn lost_on_the_way(
        &self,
        link: &mut RedisLink,
        consumer: &str,
        max: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let mut lost = Vec::new();
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
                Err(error) if error.code() == Some("NOGROUP") => return Ok(lost),
                Err(error) => return Err(error.into()),
            };
            let Some(last) = page.last() else {
                return Ok(lost);
            };
            after.clone_from(&last.id);
            let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            lost.extend(
                page.into_iter()
                    .filter(|entry| !entry.fields.is_empty() && !held.contains(&entry.id)),
            );
            if lost.len() >= max {
                lost.truncate(max);
                return Ok(lost);
            }
        }
    }

    fn keep_delayed_jobs_moving(&self) {
        self.tasks.get_or_init(|| {
            let sooner = Arc::new(Notify::new());
            let listener = listeners::spawn_due(
                self.endpoint.clone(),
                self.due_channel.clone(),
                self.keys.lane.clone(),
                Arc::clone(&sooner),
            );
            let promoter = tokio::spawn(promote_for_ever(
                self.endpoint.clone(),
                self.keys.clone(),
                sooner,
            ));
            [listener, promoter.abort_handle()]
        });
    }
}

/// Makes delayed jobs ready at their time, to the millisecond, in bounded batches.
async fn promote_for_ever(endpoint: RedisEndpoint, keys: LaneKeys, sooner: Arc<Notify>) {
    loop {
        let wait = match scripts::promote(&mut endpoint.shared(), &keys).await {
            Ok((_, Some(0))) => continue,
            Ok((_, Some(next))) => Duration::from_millis(next).min(PROMOTE_AT_LEAST_EVERY),
            Ok((_, None)) => PROMOTE_AT_LEAST_EVERY,
            Err(error) => {
                tracing::debug!(lane = keys.lane, %error, "delayed jobs wait for the store");
                Duration::from_millis(200)
            }
        };
        let _ = tokio::time::timeout(wait, sooner.notified()).await;
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
    // From the beginning: jobs enqueued before the first worker ever came are in the stream.
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

/// Renews the leases of entries; answers those that are still held.
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
        // JUSTID: the time starts anew, the count of deliveries does not change.
        command.arg("JUSTID");
        match command.query_async::<Vec<String>>(link).await {
            Ok(claimed) => held.extend(claimed),
            Err(error) if error.code() == Some("NOGROUP") => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(held)
}

/// Who takes jobs from the lane; none while it was never used.
pub(super) async fn consumers(
    link: &mut RedisLink,
    keys: &LaneKeys,
    queue: &QueueName,
) -> Result<Vec<Consumer>, StoreError> {
    let mut command = redis::cmd("XINFO");
    command.arg("CONSUMERS").arg(&keys.ready).arg(GROUP);
    let reply: StreamInfoConsumersReply = match command.query_async(link).await {
        Ok(reply) => reply,
        // No group, or no stream at all.
        Err(error) if matches!(error.code(), Some("NOGROUP" | "ERR")) => return Ok(vec![]),
        Err(error) => return Err(error.into()),
    };
    let consumer = |found: redis::streams::StreamInfoConsumer| Consumer {
        queue: queue.clone(),
        name: found.name,
        silent: Duration::from_millis(found.idle as u64),
    };
    Ok(reply.consumers.into_iter().map(consumer).collect())
}
