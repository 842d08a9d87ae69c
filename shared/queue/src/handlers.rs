//! Typed handlers: an async function from a [`Job`] to its output or a [`JobError`], found by queue
//! and kind. How often, how long and with what consequences they run is `runner`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::value::RawValue;

use crate::job::{Failure, Job, JobId, NewJob, QueueName};
use crate::retry::{Jitter, RetryPolicy};
use crate::store::Leased;

/// What a handler answers when it has no output.
#[derive(Clone, Debug)]
pub enum JobError {
    /// May work later. Becomes a dead letter when all attempts are used up.
    Retry {
        /// When to try again; none: as the kind's [`RetryPolicy`] says.
        after: Option<Duration>,
        /// Why not now.
        failure: Failure,
    },
    /// The request was wrong and the caller is told so. Final; not a dead letter.
    Reject(Failure),
    /// Will never work and somebody should know. Final; a dead letter.
    Fail(Failure),
}

impl JobError {
    /// Try again when the kind's policy says so.
    pub fn retry(failure: Failure) -> Self {
        Self::Retry {
            after: None,
            failure,
        }
    }
}

/// What a handler may know of the job that it runs.
#[derive(Clone, Debug)]
pub struct JobContext {
    /// The job's identity: the same for every attempt, so it can key what must happen once.
    pub id: JobId,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// Attempts in all before the job is dead.
    pub max_attempts: u32,
    /// The version of the payload's shape that was enqueued.
    pub version: u16,
    /// Unix ms.
    pub enqueued_at: u64,
    /// The user who may read the job.
    pub owner: Option<String>,
    /// W3C trace context of the request that enqueued it.
    pub traceparent: Option<String>,
}

impl JobContext {
    fn of(leased: &Leased) -> Self {
        Self {
            id: leased.job.id,
            attempt: leased.attempt,
            max_attempts: leased.job.max_attempts,
            version: leased.job.version,
            enqueued_at: leased.job.enqueued_at,
            owner: leased.job.owner.clone(),
            traceparent: leased.job.traceparent.clone(),
        }
    }
}

pub(crate) type Running = BoxFuture<'static, Result<Box<RawValue>, JobError>>;
type Start = Arc<dyn Fn(&Leased) -> Result<Running, serde_json::Error> + Send + Sync>;

/// One kind's handler with the kind's rules.
#[derive(Clone)]
pub(crate) struct Handler {
    start: Start,
    /// The newest shape of the payload that it knows.
    pub(crate) version: u16,
    pub(crate) retry: RetryPolicy,
    pub(crate) jitter: Jitter,
    pub(crate) time_limit: Duration,
}

impl Handler {
    /// Begins an attempt.
    ///
    /// # Errors
    /// When the payload is not one of this kind.
    pub(crate) fn start(&self, leased: &Leased) -> Result<Running, serde_json::Error> {
        (self.start)(leased)
    }
}

/// All handlers of a program.
#[derive(Clone, Default)]
pub struct Handlers {
    by_queue: HashMap<QueueName, HashMap<&'static str, Handler>>,
}

impl Handlers {
    /// No handlers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the handler of a kind.
    #[must_use]
    pub fn on<J, F, Fut>(mut self, handler: F) -> Self
    where
        J: Job,
        F: Fn(J, JobContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<J::Output, JobError>> + Send + 'static,
    {
        let start: Start = Arc::new(move |leased| {
            let job: J = serde_json::from_str(leased.job.payload.get())?;
            let running = handler(job, JobContext::of(leased));
            Ok(Box::pin(async move {
                let output = running.await?;
                serde_json::value::to_raw_value(&output).map_err(|error| {
                    JobError::Fail(Failure::new("RESULT_UNENCODABLE", error.to_string()))
                })
            }))
        });
        let handler = Handler {
            start,
            version: J::VERSION,
            retry: J::RETRY,
            jitter: J::JITTER,
            time_limit: J::TIME_LIMIT,
        };
        self.by_queue
            .entry(J::QUEUE)
            .or_default()
            .insert(J::KIND, handler);
        self
    }

    /// The queues that have handlers.
    pub fn queues(&self) -> impl Iterator<Item = &QueueName> {
        self.by_queue.keys()
    }

    /// The kinds of a queue that have handlers.
    pub(crate) fn kinds(&self, queue: &QueueName) -> Vec<&'static str> {
        let kinds = self.by_queue.get(queue).into_iter().flat_map(HashMap::keys);
        kinds.copied().collect()
    }

    /// The handler of a job, or the word for why there is none: the job is one of a newer version.
    pub(crate) fn knowing(&self, job: &NewJob) -> Result<&Handler, &'static str> {
        let kinds = self.by_queue.get(&job.queue);
        let handler = kinds.and_then(|kinds| kinds.get(job.kind.as_str()));
        let handler = handler.ok_or("UNKNOWN_KIND")?;
        match job.version <= handler.version {
            true => Ok(handler),
            false => Err("UNKNOWN_VERSION"),
        }
    }
}
