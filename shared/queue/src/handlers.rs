//! Typed handlers: async functions from a [`Job`] to its output or a [`JobError`], registered by
//! queue and kind. Time limits, retries and dead letters are applied by `runner`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::value::RawValue;

use crate::job::{Failure, Job, JobId, NewJob, QueueName};
use crate::retry::{Jitter, RetryPolicy};
use crate::store::Leased;

/// Why a handler has no output.
#[derive(Clone, Debug)]
pub enum JobError {
    /// A later attempt may succeed. Becomes a dead letter when no attempt is left.
    Retry {
        /// Time until the next attempt; none: by the kind's [`RetryPolicy`].
        after: Option<Duration>,
        /// Why this attempt failed.
        failure: Failure,
    },
    /// The request is invalid; the failure is returned to the client. Final, not a dead letter.
    Reject(Failure),
    /// No retry can succeed and an operator must act. Final, a dead letter.
    Fail(Failure),
}

impl JobError {
    /// A retry whose time follows from the kind's policy.
    pub fn retry(failure: Failure) -> Self {
        Self::Retry {
            after: None,
            failure,
        }
    }
}

/// Metadata of the job that a handler runs.
#[derive(Clone, Debug)]
pub struct JobContext {
    /// The same for every attempt, so it can be the key of effects that must happen once.
    pub id: JobId,
    /// Number of this attempt, from 1.
    pub attempt: u32,
    /// Maximum number of attempts.
    pub max_attempts: u32,
    /// Version of the payload's schema, [`Job::VERSION`] at the time of enqueueing.
    pub version: u16,
    /// Time of enqueueing, Unix ms.
    pub enqueued_at: u64,
    /// User who may read the job.
    pub owner: Option<String>,
    /// W3C trace context of the request that caused the job.
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

/// The handler of one kind with the kind's limits.
#[derive(Clone)]
pub(crate) struct Handler {
    start: Start,
    /// Newest version of the payload's schema that it accepts.
    pub(crate) version: u16,
    pub(crate) retry: RetryPolicy,
    pub(crate) jitter: Jitter,
    pub(crate) time_limit: Duration,
}

impl Handler {
    /// Decodes the payload and starts an attempt.
    ///
    /// # Errors
    /// If the payload cannot be decoded.
    pub(crate) fn start(&self, leased: &Leased) -> Result<Running, serde_json::Error> {
        (self.start)(leased)
    }
}

/// The handlers of a process.
#[derive(Clone, Default)]
pub struct Handlers {
    by_queue: HashMap<QueueName, HashMap<&'static str, Handler>>,
}

impl Handlers {
    /// Creates an empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers the handler of a kind.
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

    /// The queues of all handlers.
    pub fn queues(&self) -> impl Iterator<Item = &QueueName> {
        self.by_queue.keys()
    }

    /// The kinds of a queue's handlers.
    pub(crate) fn kinds(&self, queue: &QueueName) -> Vec<&'static str> {
        let kinds = self.by_queue.get(queue).into_iter().flat_map(HashMap::keys);
        kinds.copied().collect()
    }

    /// Finds the handler of a job. The error code means that the job comes from a newer release.
    pub(crate) fn find(&self, job: &NewJob) -> Result<&Handler, &'static str> {
        let kinds = self.by_queue.get(&job.queue);
        let handler = kinds.and_then(|kinds| kinds.get(job.kind.as_str()));
        let handler = handler.ok_or("UNKNOWN_KIND")?;
        match job.version <= handler.version {
            true => Ok(handler),
            false => Err("UNKNOWN_VERSION"),
        }
    }
}
