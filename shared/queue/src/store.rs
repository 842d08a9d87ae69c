//! The port that an engine implements, and the words it is spoken in. No engine's details here,
//! and nothing of how jobs are run.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::job::{Failure, JobId, NewJob, QueueName};
use crate::waiters::Waiters;

/// An engine could not do what it was asked. Every operation of [`JobStore`] may be repeated after
/// it, even when the first one took effect and only its answer was lost.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The server is away, restarting or too slow; it may be back at any time.
    #[error("the queue's store is unavailable: {0}")]
    Unavailable(String),
    /// The store answered something that this version does not understand.
    #[error("the queue's store answered unexpectedly: {0}")]
    Unexpected(String),
}

/// What a lease is taken from: one shard of a queue, with a fetch loop of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lane {
    /// The queue.
    pub queue: QueueName,
    /// Which of its shards, from 0.
    pub shard: u16,
}

/// The right to answer a job, until it expires.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lease {
    /// Where the job was taken from.
    pub lane: Lane,
    /// The engine's own name of this delivery.
    pub token: String,
}

/// A job that was handed out.
#[derive(Clone, Debug)]
pub struct Leased {
    /// The job.
    pub job: Arc<NewJob>,
    /// The right to answer it.
    pub lease: Lease,
    /// Which attempt this is, from 1. It counts from the lease on, whether answered or not.
    pub attempt: u32,
    /// How many of the attempts before ended without an answer.
    pub lost_leases: u32,
    /// When it became ready to be handed out, Unix ms by the store's clock.
    pub ready_at: u64,
}

/// What becomes of a leased job.
#[derive(Clone)]
pub enum Settle {
    /// Done; the result can be read for the job's result TTL.
    Succeeded(Box<RawValue>),
    /// Answered with a refusal that is nobody's fault here (a code that is used up, say). Kept like
    /// a result; never a dead letter.
    Rejected(Failure),
    /// To be tried again after this long.
    Retry {
        /// How long to wait.
        after: Duration,
        /// Why this attempt failed.
        failure: Failure,
    },
    /// Given up: kept as a dead letter until somebody replays or purges it.
    Dead(Failure),
    /// Handed back untouched (the worker stops): ready at once, and the attempt does not count.
    HandBack,
}

/// Without the result: it may hold what belongs into no log.
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

/// An answer to one leased job.
#[derive(Clone, Debug)]
pub struct Settlement {
    /// The job, as leased.
    pub leased: Leased,
    /// Its fate.
    pub settle: Settle,
}

/// Whether an answer counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It did.
    Done,
    /// The lease had expired and the job was given to somebody else, whose answer counts.
    LeaseLost,
}

/// What enqueueing one job did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enqueued {
    /// The job is in the queue.
    New(JobId),
    /// A job with the same idempotency key (or the same id) was there before.
    Existing(JobId),
}

impl Enqueued {
    /// The job that will do the work.
    pub fn id(self) -> JobId {
        match self {
            Self::New(id) | Self::Existing(id) => id,
        }
    }
}

/// What became of jobs whose leases had expired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reclaimed {
    /// Ready again.
    pub requeued: u64,
    /// Dead, because all attempts were used up.
    pub exhausted: u64,
    /// Dead, because they were lost too often (they kill their workers).
    pub poisoned: u64,
}

/// How [`JobStore::reclaim`] judges.
#[derive(Clone, Copy, Debug)]
pub struct ReclaimPolicy {
    /// A lease that was not extended for this long has expired.
    pub lease_timeout: Duration,
    /// A job whose leases expired this often is dead.
    pub max_lost_leases: u32,
}

/// The life of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// Waits for its first attempt.
    Queued,
    /// Handed out.
    Running,
    /// Waits for another attempt.
    Retrying,
    /// Ended with a result.
    Succeeded,
    /// Ended with a refusal.
    Rejected,
    /// Ended as a dead letter.
    Dead,
}

impl JobState {
    /// Whether nothing will happen to the job any more by itself.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Rejected | Self::Dead)
    }

    /// The state's name in lists and labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Retrying => "retrying",
            Self::Succeeded => "succeeded",
            Self::Rejected => "rejected",
            Self::Dead => "dead",
        }
    }
}

/// A job as seen from outside.
#[derive(Clone)]
pub struct JobView {
    /// Its identity.
    pub id: JobId,
    /// The queue that carries it.
    pub queue: QueueName,
    /// Its kind.
    pub kind: String,
    /// Where it stands.
    pub state: JobState,
    /// Attempts that were begun.
    pub attempts: u32,
    /// Attempts in all before it is dead.
    pub max_attempts: u32,
    /// Who may read it; none: whoever holds its id.
    pub owner: Option<String>,
    /// Unix ms.
    pub enqueued_at: u64,
    /// Unix ms, when it ended.
    pub finished_at: Option<u64>,
    /// Unix ms, when it is due, while it waits for that.
    pub due_at: Option<u64>,
    /// Its result, when it succeeded.
    pub result: Option<Box<RawValue>>,
    /// Its last error, if any.
    pub error: Option<Failure>,
    /// Trace context.
    pub traceparent: Option<String>,
    /// The payload, while the job is not over (and of dead letters).
    pub payload: Option<Box<RawValue>>,
}

/// Without payload and result: they may hold what belongs into no log.
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

/// How full a queue is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueStats {
    /// The queue.
    pub queue: QueueName,
    /// Jobs that a worker could take now.
    pub ready: u64,
    /// Jobs that are handed out.
    pub running: u64,
    /// Jobs that wait for their time (delayed or retrying).
    pub scheduled: u64,
    /// Dead letters.
    pub dead: u64,
    /// Age of the oldest ready job in milliseconds; 0 when there is none.
    pub oldest_ready_ms: u64,
}

/// A consumer: one pool of one worker process, as the store has met it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumer {
    /// The queue that it takes jobs from.
    pub queue: QueueName,
    /// Its name, unique for ever.
    pub name: String,
    /// How long it has not been heard of. One that lives asks for jobs or renews its leases all the
    /// time; a dead one is forgotten after a while.
    pub silent: Duration,
}

/// Which jobs to list.
#[derive(Clone, Debug)]
pub struct JobFilter {
    /// In this queue; none: in all.
    pub queue: Option<QueueName>,
    /// In this state. Finished jobs other than dead letters leave only their results, which can be
    /// read by id but not listed.
    pub state: JobState,
    /// Where the page before ended.
    pub cursor: Option<String>,
    /// At most so many, 1 to 1000.
    pub limit: usize,
}

/// A page of a list.
#[derive(Clone, Debug)]
pub struct Page {
    /// The jobs, oldest first.
    pub jobs: Vec<JobView>,
    /// Where to go on; none: that was all.
    pub next: Option<String>,
}

/// A durable store of jobs. Engines are safe to use from many tasks and, where the engine itself is
/// shared (Redis), from many processes.
#[async_trait]
pub trait JobStore: Send + Sync + 'static {
    /// Takes jobs in; when it returns `Ok` they are as durable as the engine is. Repeating it with
    /// the same ids is harmless.
    async fn enqueue(&self, jobs: Vec<NewJob>) -> Result<Vec<Enqueued>, StoreError>;

    /// The lanes of a queue; each wants a fetch loop of its own.
    fn lanes(&self, queue: &QueueName) -> Vec<Lane>;

    /// Takes up to `max` due jobs, oldest first; when none is due, waits up to `block` for one.
    /// A job that cannot be decoded is dead-lettered on the way, not returned and not an error.
    async fn lease(
        &self,
        lane: &Lane,
        consumer: &str,
        max: usize,
        block: Duration,
    ) -> Result<Vec<Leased>, StoreError>;

    /// Renews leases; `false` for those that are lost already.
    async fn extend(&self, consumer: &str, leases: &[Lease]) -> Result<Vec<bool>, StoreError>;

    /// Answers jobs, each atomically: acknowledgement, result, retry or dead letter, and the wake-up
    /// of whoever waits for it. In the order given.
    async fn settle(&self, batch: &[Settlement]) -> Result<Vec<Settled>, StoreError>;

    /// Takes back the jobs whose leases have expired. Bounded work; call it regularly.
    async fn reclaim(&self, lane: &Lane, policy: &ReclaimPolicy) -> Result<Reclaimed, StoreError>;

    /// Forgets a consumer that has stopped and holds nothing.
    async fn retire(&self, lane: &Lane, consumer: &str) -> Result<(), StoreError>;

    /// The job, or none when it is unknown or its result has expired.
    async fn get(&self, id: JobId) -> Result<Option<JobView>, StoreError>;

    /// Who waits in this process for jobs to change.
    fn waiters(&self) -> &Waiters;

    /// How full the queues are.
    async fn stats(&self) -> Result<Vec<QueueStats>, StoreError>;

    /// Who takes jobs. The embedded engine knows only those of its own process.
    async fn consumers(&self) -> Result<Vec<Consumer>, StoreError>;

    /// Lists jobs.
    async fn list(&self, filter: &JobFilter) -> Result<Page, StoreError>;

    /// Makes a dead letter ready again with all its attempts; `false` when there is none by this id.
    async fn replay(&self, id: JobId) -> Result<bool, StoreError>;

    /// Deletes a dead letter; `false` when there is none by this id.
    async fn purge(&self, id: JobId) -> Result<bool, StoreError>;

    /// Whether the store answers.
    async fn ping(&self) -> Result<(), StoreError>;

    /// The job when it has ended, or as it stands after `wait`; none when it is unknown.
    async fn outcome(&self, id: JobId, wait: Duration) -> Result<Option<JobView>, StoreError> {
        let deadline = tokio::time::Instant::now() + wait;
        // Registered before the look, so that a change between the two is not missed.
        let mut ticket = self.waiters().register(id);
        loop {
            match self.get(id).await? {
                Some(view) if !view.state.is_final() => {
                    if tokio::time::timeout_at(deadline, ticket.changed())
                        .await
                        .is_err()
                    {
                        // A last look: a wake-up may have been lost.
                        return self.get(id).await;
                    }
                }
                view => return Ok(view),
            }
        }
    }
}
