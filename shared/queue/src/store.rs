//! The port that an engine implements, and its types. Nothing here is specific to one engine, and
//! nothing concerns how jobs are run.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use strum::Display;

use crate::job::{Failure, JobId, NewJob, QueueName};
use crate::waiters::Waiters;

/// An engine could not complete an operation. Every operation of [`JobStore`] may be repeated after
/// it, even if the first call took effect and only its response was lost.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The server is down, restarting or too slow; it may recover at any time.
    #[error("the job store is unavailable: {0}")]
    Unavailable(String),
    /// The store returned something that this version does not understand, or a job cannot be encoded.
    /// Repeating the operation does not help.
    #[error("unexpected error of the job store: {0}")]
    Unexpected(String),
}

/// One shard of a queue. Each lane has its own fetch loop.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lane {
    /// The queue.
    pub queue: QueueName,
    /// Index of the shard, from 0.
    pub shard: u16,
}

/// The exclusive right to settle a job until it expires.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lease {
    /// Lane from which the job was leased.
    pub lane: Lane,
    /// The engine's identifier of this delivery.
    pub token: String,
}

/// A job with its lease.
#[derive(Clone, Debug)]
pub struct Leased {
    /// The job.
    pub job: Arc<NewJob>,
    /// The right to settle it.
    pub lease: Lease,
    /// Number of this attempt, from 1. Leasing the job uses it up, settled or not.
    pub attempt: u32,
    /// Number of earlier attempts whose lease expired.
    pub lost_leases: u32,
    /// Time at which the job became ready, Unix ms by the store's clock.
    pub ready_at: u64,
}

/// The outcome of one attempt of a leased job.
#[derive(Clone)]
pub enum Settle {
    /// Final; the result can be read for the job's result TTL.
    Succeeded(Box<RawValue>),
    /// Final: the request was invalid (an expired sign-in code, for example). Stored like a result,
    /// never as a dead letter.
    Rejected(Failure),
    /// The attempt failed; another one follows.
    Retry {
        /// Time until the next attempt.
        after: Duration,
        /// Why this attempt failed.
        failure: Failure,
    },
    /// Final: stored as a dead letter until it is replayed or purged, or its TTL ends.
    Dead(Failure),
    /// The job was not run (the worker stops): it is ready again at once, and the attempt does not
    /// count.
    HandBack,
}

/// Omits the result, which may hold data that must not be logged.
impl fmt::Debug for Settle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Succeeded(_) => f.write_str("Succeeded"),
            Self::Rejected(failure) => write!(f, "Rejected({failure})"),
            Self::Retry { after, failure } => write!(f, "Retry({after:?}, {failure})"),
            Self::Dead(failure) => write!(f, "Dead({failure})"),
            Self::HandBack => f.write_str("HandBack"),
        }
    }
}

/// A leased job with the outcome of its attempt.
#[derive(Clone, Debug)]
pub struct Settlement {
    /// The job, as leased.
    pub leased: Leased,
    /// The outcome.
    pub settle: Settle,
}

/// Whether a settlement took effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It did.
    Done,
    /// It did not: the lease had expired, and the job belongs to another worker or has ended.
    LeaseLost,
}

/// The result of enqueueing one job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enqueued {
    /// The job was stored.
    New(JobId),
    /// A job with the same idempotency key (or the same id) exists already.
    Existing(JobId),
}

impl Enqueued {
    /// Id of the job that does the work.
    pub fn id(self) -> JobId {
        match self {
            Self::New(id) | Self::Existing(id) => id,
        }
    }
}

/// Number of jobs whose leases had expired, by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reclaimed {
    /// Made ready for another attempt.
    pub requeued: u64,
    /// Dead-lettered because no attempt was left.
    pub exhausted: u64,
    /// Dead-lettered because too many of their leases expired (they probably crash their workers).
    pub poisoned: u64,
}

/// Limits that [`JobStore::reclaim`] applies.
#[derive(Clone, Copy, Debug)]
pub struct ReclaimPolicy {
    /// Time without renewal after which a lease has expired.
    pub lease_timeout: Duration,
    /// Number of expired leases at which a job is dead-lettered.
    pub max_lost_leases: u32,
}

/// The lifecycle of a job. Queued → running → succeeded, rejected, dead, or retrying → running.
#[derive(Clone, Copy, Debug, Display, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum JobState {
    /// Waiting for its first attempt.
    Queued,
    /// Leased to a worker.
    Running,
    /// Waiting for another attempt.
    Retrying,
    /// Ended with a result.
    Succeeded,
    /// Ended because the request was invalid.
    Rejected,
    /// Ended as a dead letter.
    Dead,
}

impl JobState {
    /// Whether the job has ended. Only a replay changes it after that.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Rejected | Self::Dead)
    }
}

/// A snapshot of a job for clients and operators.
#[derive(Clone)]
pub struct JobView {
    /// Identity.
    pub id: JobId,
    /// Queue to which the job belongs.
    pub queue: QueueName,
    /// Name of the kind, [`Job::KIND`](crate::Job::KIND).
    pub kind: String,
    /// Lifecycle state.
    pub state: JobState,
    /// Number of attempts that were started.
    pub attempts: u32,
    /// Maximum number of attempts.
    pub max_attempts: u32,
    /// User who may read the job; none: any client that has its id.
    pub owner: Option<String>,
    /// Time of enqueueing, Unix ms.
    pub enqueued_at: u64,
    /// Time at which the job ended, Unix ms.
    pub finished_at: Option<u64>,
    /// Time of the next attempt, Unix ms, while it lies in the future.
    pub due_at: Option<u64>,
    /// Result of a job that succeeded.
    pub result: Option<Box<RawValue>>,
    /// Error of the last failed attempt.
    pub error: Option<Failure>,
    /// W3C trace context of the request that caused the job.
    pub traceparent: Option<String>,
    /// Payload of a job that has not ended, or of a dead letter.
    pub payload: Option<Box<RawValue>>,
}

/// Omits payload and result, which may hold data that must not be logged.
impl fmt::Debug for JobView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobView")
            .field("id", &self.id)
            .field("queue", &self.queue)
            .field("kind", &self.kind)
            .field("state", &self.state)
            .field("attempts", &self.attempts)
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}

/// Number of jobs in a queue, by state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueStats {
    /// The queue.
    pub queue: QueueName,
    /// Jobs that can be leased now.
    pub ready: u64,
    /// Leased jobs.
    pub running: u64,
    /// Jobs that are not due yet (delayed or retrying).
    pub scheduled: u64,
    /// Dead letters.
    pub dead: u64,
    /// Age of the oldest ready job in milliseconds; 0 when there is none.
    pub oldest_ready_ms: u64,
}

/// A consumer: one pool of one worker process, as seen by the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumer {
    /// Queue from which it leases jobs.
    pub queue: QueueName,
    /// Name, never reused.
    pub name: String,
    /// Time since its last request. A live consumer leases jobs or renews its leases all the time; a
    /// dead one is removed after a while.
    pub silent: Duration,
}

/// Selects the jobs of a list.
#[derive(Clone, Debug)]
pub struct JobFilter {
    /// Only this queue; none: all queues.
    pub queue: Option<QueueName>,
    /// Only this state. Of jobs that succeeded or were rejected only the results are stored, which
    /// can be read by id but not listed.
    pub state: JobState,
    /// [`Page::next`] of the previous page; none: from the start.
    pub cursor: Option<String>,
    /// Maximum number of jobs on the page, 1 to 1000.
    pub limit: usize,
}

/// A page of a list.
#[derive(Clone, Debug)]
pub struct Page {
    /// The jobs, oldest first.
    pub jobs: Vec<JobView>,
    /// Cursor of the next page; none: this is the last one.
    pub next: Option<String>,
}

/// A durable store of jobs. Engines can be used from many tasks concurrently and, if the server is
/// shared (Redis), from many processes.
#[async_trait]
pub trait JobStore: Send + Sync + 'static {
    /// Stores jobs; when it returns `Ok` they are as durable as the engine is. Idempotent by the ids
    /// of the jobs. The results are in the order of the jobs.
    async fn enqueue(&self, jobs: Vec<NewJob>) -> Result<Vec<Enqueued>, StoreError>;

    /// The lanes of a queue. Each needs its own fetch loop.
    fn lanes(&self, queue: &QueueName) -> Vec<Lane>;

    /// Leases up to `max` due jobs, oldest first; if none is due, waits up to `block` for one.
    /// An entry that cannot be decoded is dead-lettered, neither returned nor an error.
    async fn lease(
        &self,
        lane: &Lane,
        consumer: &str,
        max: usize,
        block: Duration,
    ) -> Result<Vec<Leased>, StoreError>;

    /// Renews leases; returns `false` for each one that was lost.
    async fn extend(&self, consumer: &str, leases: &[Lease]) -> Result<Vec<bool>, StoreError>;

    /// Settles jobs, each atomically: acknowledgement, result, retry or dead letter, and the
    /// notification of its waiters. The results are in the order of the batch.
    async fn settle(&self, batch: &[Settlement]) -> Result<Vec<Settled>, StoreError>;

    /// Makes jobs whose leases have expired ready again, or dead-letters them as the policy says. Must
    /// be called periodically.
    async fn reclaim(&self, lane: &Lane, policy: &ReclaimPolicy) -> Result<Reclaimed, StoreError>;

    /// Removes a consumer that has stopped and holds no leases.
    async fn retire(&self, lane: &Lane, consumer: &str) -> Result<(), StoreError>;

    /// Reads a job; none if it is unknown or its result has expired.
    async fn get(&self, id: JobId) -> Result<Option<JobView>, StoreError>;

    /// The tasks of this process that wait for jobs to change.
    fn waiters(&self) -> &Waiters;

    /// Counts the jobs of all queues.
    async fn stats(&self) -> Result<Vec<QueueStats>, StoreError>;

    /// Lists the consumers. The embedded engine knows only those of its own process.
    async fn consumers(&self) -> Result<Vec<Consumer>, StoreError>;

    /// Lists jobs, page by page.
    async fn list(&self, filter: &JobFilter) -> Result<Page, StoreError>;

    /// Makes a dead letter ready again with all its attempts; `false` if the job is not one.
    async fn replay(&self, id: JobId) -> Result<bool, StoreError>;

    /// Deletes a dead letter; `false` if the job is not one.
    async fn purge(&self, id: JobId) -> Result<bool, StoreError>;

    /// Checks that the store responds; of a server, also that it accepts writes.
    async fn ping(&self) -> Result<(), StoreError>;

    /// Waits up to `wait` for the job to end and returns its state then; none if it is unknown.
    async fn outcome(&self, id: JobId, wait: Duration) -> Result<Option<JobView>, StoreError> {
        let deadline = tokio::time::Instant::now() + wait;
        // Registered before the read, so that a change between the two is not missed.
        let mut ticket = self.waiters().register(id);
        loop {
            match self.get(id).await? {
                Some(view) if !view.state.is_final() => {
                    if tokio::time::timeout_at(deadline, ticket.changed())
                        .await
                        .is_err()
                    {
                        // Read once more: a notification may have been lost.
                        return self.get(id).await;
                    }
                }
                view => return Ok(view),
            }
        }
    }
}
