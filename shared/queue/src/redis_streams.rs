//! The Redis engine, for any number of API and worker processes. Redis 6.2 or newer, standalone or
//! Cluster.
//!
//! # Structures
//!
//! A queue consists of one or more lanes (shards). A job belongs to the lane that the hash of its
//! idempotency key selects, or without a key its id. All keys of a lane share one hash tag, so that
//! every state transition is one atomic Lua script on one Cluster node:
//!
//! | key | type | contents |
//! |---|---|---|
//! | `P:v1:{queue.shard}:ready` | stream | ready and leased jobs; consumer group `workers` |
//! | `…:delayed` | sorted set | ids of delayed and retrying jobs by due time, Unix ms of Redis' clock |
//! | `…:dead` | stream | dead letters |
//! | `…:job:ID` | hash | the job's record: its state, and at the end its result or error |
//! | `…:key:K` | string | id of the job that holds the idempotency key `K` |
//! | `…:clock` | hash | the lane's clock, see `clock.lua` |
//! | `P:v1:ping` | string | written by health checks, with a TTL |
//!
//! An entry of `ready` has the id `i`, the envelope as JSON `j`, the attempts used up `a`, the leases
//! lost `l`, and the maximum of attempts `m`. A record has the state `s`, the entry `e` in `ready` or
//! `dead`, or the envelope `b` while delayed, then kind `k`, owner `o`, creation `c`, end `f`, result
//! `r`, error `x`, traceparent `t`, idempotency key `i`, dead-letter TTL `d`, and again `a`, `l`, `m`.
//!
//! `enqueue` adds a job to `ready` or `delayed`. A promoter in each worker process moves due jobs from
//! `delayed` to `ready` in bounded batches. `lease` is `XREADGROUP … BLOCK` on a dedicated
//! connection. `settle` removes the entry and records the outcome, adds the job to `delayed`, or adds
//! it to `dead`.
//!
//! # Invariants
//!
//! 1. The envelope of a job that has not ended, or of a dead letter, is stored in exactly one place:
//!    its entry in `ready`, field `b` of its record, or its entry in `dead`.
//! 2. A job is leased exactly while its entry is in the group's pending list.
//! 3. Settling acknowledges the entry first and does nothing if it was not pending, so a worker whose
//!    lease was lost cannot change the job.
//! 4. Entries are immutable. A job that becomes ready again gets a new entry with new counters, so an
//!    old lease never becomes valid again.
//! 5. An idempotency key has no TTL while its job is in flight. Success and rejection set the TTL; a
//!    dead letter deletes the key.
//! 6. A job that succeeded or was rejected leaves only its record, which expires: memory is bounded.
//!
//! # Recovery
//!
//! - A worker crashes: its entries stay pending without renewal. Every pool runs `reclaim`, which makes
//!   them ready with one attempt used up, or dead-letters them.
//! - A connection breaks after Redis has delivered entries and before this process has read them: a
//!   new connection first reads the consumer's pending list and takes the entries that are unknown.
//! - Redis restarts without its data: `NOGROUP` recreates the group from the start of the stream.
//! - A failover behind one address, or by Sentinel: a reply such as `READONLY` ends the connection, and
//!   with it all others of the process. Writes that the new primary had not received are lost with the
//!   old one, as with any asynchronous replication.
//! - Redis refuses a write (out of memory, disk full): the first command of a script fails, and the
//!   script with it; commands after the first write of a script are not refused. Callers retry.
//! - Redis' clock steps back: due times refer to the lane's clock, which does not, and leases granted
//!   before are renewed once, so that they do not expire late.
//! - A response is lost: enqueueing again finds the record, settling again finds no pending entry.
//!
//! # Channels
//!
//! `P:v1:changes` carries the id of each job that changed, and for an awaited job its outcome;
//! `P:v1:due` the lanes whose earliest due time moved forward. Both are only notifications: after a
//! reconnection waiters read their jobs again, and promoters also run periodically. Each subscriber
//! publishes a probe now and then (`probe ID`), ignored by others, to find out that it hears nothing.

mod enqueuer;
mod lanes;
mod listeners;
mod records;
mod scripts;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::{join_all, try_join_all};

use crate::job::{JobId, NewJob, QueueName};
use crate::redis_endpoint::{self, RedisEndpoint};
use crate::store::{
    Consumer, Enqueued, JobFilter, JobState, JobStore, JobView, Lane, Lease, Leased, Page,
    QueueStats, ReclaimPolicy, Reclaimed, Settle, Settled, Settlement, StoreError,
};
use crate::waiters::Waiters;

use enqueuer::Enqueuer;
use lanes::{LaneKeys, LaneReader};

/// Maximum number of jobs per script call: a long script blocks the whole server.
const BATCH: usize = 100;
/// A consumer that holds no leases and was silent for this long is removed.
const CONSUMER_TTL: Duration = Duration::from_secs(600);

/// Layout of the queues in Redis.
#[derive(Clone, Debug)]
pub struct RedisSettings {
    /// Prefix of all keys.
    pub prefix: String,
    /// All queues. Must be the same in all processes.
    pub queues: Vec<QueueName>,
    /// Shards per queue, at least 1. Must be the same in all processes.
    pub shards: u16,
}

/// The Redis engine. Cheap to clone.
#[derive(Clone)]
pub struct RedisStreams {
    inner: Arc<Inner>,
}

struct Inner {
    endpoint: RedisEndpoint,
    settings: RedisSettings,
    enqueuer: Enqueuer,
    waiters: Waiters,
    changes_listener: OnceLock<tokio::task::AbortHandle>,
    readers: Mutex<std::collections::HashMap<Lane, Arc<LaneReader>>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(listener) = self.changes_listener.get() {
            listener.abort();
        }
    }
}

impl RedisStreams {
    /// Creates the engine without connecting. While Redis is down, operations return
    /// [`StoreError::Unavailable`].
    pub fn new(endpoint: RedisEndpoint, settings: RedisSettings) -> Self {
        Self {
            inner: Arc::new(Inner {
                enqueuer: Enqueuer::new(endpoint.clone(), settings.clone()),
                endpoint,
                settings,
                waiters: Waiters::default(),
                changes_listener: OnceLock::new(),
                readers: Mutex::default(),
            }),
        }
    }

    /// Checks the server's configuration and returns a sentence for each setting that can lose jobs.
    ///
    /// # Errors
    /// If the server does not respond or forbids `CONFIG GET`.
    pub async fn durability_warnings(&self) -> Result<Vec<String>, StoreError> {
        redis_endpoint::durability_warnings(&mut self.inner.endpoint.shared()).await
    }

    fn keys(&self, lane: &Lane) -> LaneKeys {
        LaneKeys::new(&self.inner.settings.prefix, lane)
    }

    /// The lanes of all queues.
    fn all_lanes(&self) -> Vec<Lane> {
        self.inner
            .settings
            .queues
            .iter()
            .flat_map(|queue| self.lanes(queue))
            .collect()
    }

    fn reader(&self, lane: &Lane) -> Arc<LaneReader> {
        let mut readers = self
            .inner
            .readers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        Arc::clone(readers.entry(lane.clone()).or_insert_with(|| {
            Arc::new(LaneReader::new(
                self.inner.endpoint.clone(),
                self.keys(lane),
                listeners::due_channel(&self.inner.settings.prefix),
            ))
        }))
    }

    fn existing_reader(&self, lane: &Lane) -> Option<Arc<LaneReader>> {
        self.inner
            .readers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(lane)
            .cloned()
    }
}

#[async_trait]
impl JobStore for RedisStreams {
    async fn enqueue(&self, jobs: Vec<NewJob>) -> Result<Vec<Enqueued>, StoreError> {
        self.inner.enqueuer.enqueue(jobs).await
    }

    fn lanes(&self, queue: &QueueName) -> Vec<Lane> {
        (0..self.inner.settings.shards.max(1))
            .map(|shard| Lane {
                queue: queue.clone(),
                shard,
            })
            .collect()
    }

    async fn lease(
        &self,
        lane: &Lane,
        consumer: &str,
        max: usize,
        block: Duration,
    ) -> Result<Vec<Leased>, StoreError> {
        let reader = self.reader(lane);
        let entries = reader.read(consumer, max, block).await?;
        let mut leased = Vec::with_capacity(entries.len());
        for entry in entries {
            match entry.decode(lane) {
                Ok(job) => leased.push(job),
                Err(undecodable) => {
                    tracing::error!(
                        queue = %lane.queue, entry = undecodable.entry, error = undecodable.reason,
                        "entry cannot be decoded, dead-lettered"
                    );
                    let keys = self.keys(lane);
                    let connection = &mut self.inner.endpoint.shared();
                    scripts::dead_letter(connection, &keys, &self.changes(), &undecodable).await?;
                    reader.release(&undecodable.entry);
                }
            }
        }
        Ok(leased)
    }

    async fn extend(&self, consumer: &str, leases: &[Lease]) -> Result<Vec<bool>, StoreError> {
        let mut results = vec![false; leases.len()];
        let lanes: HashSet<&Lane> = leases.iter().map(|lease| &lease.lane).collect();
        for lane in lanes {
            let entries: Vec<(usize, &str)> = leases
                .iter()
                .enumerate()
                .filter(|(_, lease)| lease.lane == *lane)
                .map(|(index, lease)| (index, lease.token.as_str()))
                .collect();
            let mut connection = self.inner.endpoint.shared();
            let held = lanes::extend(&mut connection, &self.keys(lane), consumer, &entries).await?;
            for (index, entry) in entries {
                results[index] = held.contains(entry);
            }
        }
        Ok(results)
    }

    async fn settle(&self, batch: &[Settlement]) -> Result<Vec<Settled>, StoreError> {
        let mut results = Vec::with_capacity(batch.len());
        let mut rest = batch;
        while let Some(first) = rest.first() {
            let lane = &first.leased.lease.lane;
            let run = rest
                .iter()
                .take(BATCH)
                .take_while(|settlement| settlement.leased.lease.lane == *lane)
                .count();
            let (part, others) = rest.split_at(run);
            let (changes, due) = (self.changes(), self.due());
            let channels = scripts::Channels {
                changes: &changes,
                due: &due,
            };
            let mut connection = self.inner.endpoint.shared();
            let settled =
                scripts::settle(&mut connection, &self.keys(lane), &channels, part).await?;
            if let Some(reader) = self.existing_reader(lane) {
                for settlement in part {
                    reader.release(&settlement.leased.lease.token);
                }
            }
            results.extend(settled);
            rest = others;
        }
        Ok(results)
    }

    async fn reclaim(&self, lane: &Lane, policy: &ReclaimPolicy) -> Result<Reclaimed, StoreError> {
        let keys = self.keys(lane);
        let mut total = Reclaimed::default();
        loop {
            let mut connection = self.inner.endpoint.shared();
            let (part, more) =
                scripts::reclaim(&mut connection, &keys, &self.changes(), policy).await?;
            total.requeued += part.requeued;
            total.exhausted += part.exhausted;
            total.poisoned += part.poisoned;
            if !more {
                return Ok(total);
            }
        }
    }

    async fn retire(&self, lane: &Lane, consumer: &str) -> Result<(), StoreError> {
        scripts::retire(
            &mut self.inner.endpoint.shared(),
            &self.keys(lane),
            consumer,
        )
        .await
    }

    async fn get(&self, id: JobId) -> Result<Option<JobView>, StoreError> {
        let lanes = self.all_lanes();
        let found = join_all(lanes.iter().map(|lane| {
            let mut connection = self.inner.endpoint.shared();
            let record = self.keys(lane).record(id);
            async move { records::fetch_final(&mut connection, &record).await }
        }))
        .await;
        for (lane, record) in lanes.iter().zip(found) {
            match record? {
                records::Found::Missing => {}
                records::Found::Final(fields) => {
                    return records::view(lane, id, &fields, None).map(Some);
                }
                records::Found::InFlight => {
                    let mut connection = self.inner.endpoint.shared();
                    return records::read(&mut connection, &self.keys(lane), lane, id).await;
                }
            }
        }
        Ok(None)
    }

    fn waiters(&self) -> &Waiters {
        self.inner.changes_listener.get_or_init(|| {
            listeners::spawn_changes(
                self.inner.endpoint.clone(),
                self.changes(),
                self.inner.waiters.clone(),
            )
        });
        &self.inner.waiters
    }

    async fn stats(&self) -> Result<Vec<QueueStats>, StoreError> {
        try_join_all(self.inner.settings.queues.iter().map(|queue| async {
            let mut total = QueueStats {
                queue: queue.clone(),
                ready: 0,
                running: 0,
                scheduled: 0,
                dead: 0,
                oldest_ready_ms: 0,
            };
            for lane in self.lanes(queue) {
                let mut connection = self.inner.endpoint.shared();
                let part = scripts::stats(&mut connection, &self.keys(&lane)).await?;
                total.ready += part.ready;
                total.running += part.running;
                total.scheduled += part.scheduled;
                total.dead += part.dead;
                total.oldest_ready_ms = total.oldest_ready_ms.max(part.oldest_ready_ms);
            }
            Ok(total)
        }))
        .await
    }

    async fn consumers(&self) -> Result<Vec<Consumer>, StoreError> {
        let lanes = self.all_lanes();
        let found = try_join_all(lanes.iter().map(|lane| async {
            let mut connection = self.inner.endpoint.shared();
            lanes::consumers(&mut connection, &self.keys(lane), &lane.queue).await
        }))
        .await?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn list(&self, filter: &JobFilter) -> Result<Page, StoreError> {
        let queues = match &filter.queue {
            Some(queue) => vec![queue.clone()],
            None => self.inner.settings.queues.clone(),
        };
        let lanes: Vec<_> = queues.iter().flat_map(|queue| self.lanes(queue)).collect();
        records::list(
            &self.inner.endpoint,
            &self.inner.settings.prefix,
            &lanes,
            filter,
        )
        .await
    }

    async fn replay(&self, id: JobId) -> Result<bool, StoreError> {
        for lane in self.all_lanes() {
            let mut connection = self.inner.endpoint.shared();
            if scripts::replay(&mut connection, &self.keys(&lane), id, &self.changes()).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn purge(&self, id: JobId) -> Result<bool, StoreError> {
        for lane in self.all_lanes() {
            let mut connection = self.inner.endpoint.shared();
            if scripts::purge(&mut connection, &self.keys(&lane), id, &self.changes()).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        let key = format!("{}:v1:ping", self.inner.settings.prefix);
        redis_endpoint::check_write(&mut self.inner.endpoint.shared(), &key).await
    }
}

impl RedisStreams {
    fn changes(&self) -> String {
        listeners::changes_channel(&self.inner.settings.prefix)
    }

    fn due(&self) -> String {
        listeners::due_channel(&self.inner.settings.prefix)
    }
}

/// FNV-1a: stable across releases and processes, unlike the standard library's hash.
fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

fn state_of(word: &str, leased: bool, attempts: u32) -> Option<JobState> {
    Some(match word {
        "ready" if leased => JobState::Running,
        "ready" | "delayed" if attempts > 0 => JobState::Retrying,
        "ready" | "delayed" => JobState::Queued,
        "succeeded" => JobState::Succeeded,
        "rejected" => JobState::Rejected,
        "dead" => JobState::Dead,
        _ => return None,
    })
}

fn op_of(settle: &Settle) -> &'static str {
    match settle {
        Settle::Succeeded(_) => "succeeded",
        Settle::Rejected(_) => "rejected",
        Settle::Retry { .. } => "retry",
        Settle::Dead(_) => "dead",
        Settle::HandBack => "back",
    }
}
