//! One attempt: finds the handler, runs it within its time limit and decides the outcome. It is the
//! tower service that apalis calls with a leased job; `ack` settles the outcome.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use apalis_core::error::BoxDynError;
use apalis_core::task::Task;
use futures_util::future::BoxFuture;
use tower::Service;
use tracing::Instrument;
use tracing::field::Empty;

use crate::backend::Work;
use crate::handlers::{Handler, Handlers, JobError};
use crate::in_flight::InFlight;
use crate::job::{Failure, millis, now_ms};
use crate::metrics::QueueMetrics;
use crate::store::{Leased, Settle};
use crate::trace;

/// A job of an unknown kind or version may be known to a newer release that is being rolled out. It
/// is held for this long before it is handed back, so that old workers do not exchange it in a loop.
const UNKNOWN_HOLD: Duration = Duration::from_secs(2);
/// Age at which a job of an unknown kind or version is dead-lettered.
const UNKNOWN_TIMEOUT: Duration = Duration::from_secs(15 * 60);

#[derive(Clone)]
pub(crate) struct Runner {
    pub(crate) handlers: Arc<Handlers>,
    pub(crate) in_flight: InFlight,
    pub(crate) metrics: QueueMetrics,
}

impl Service<Task<Work>> for Runner {
    type Response = Settle;
    type Error = BoxDynError;
    type Future = BoxFuture<'static, Result<Settle, BoxDynError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, task: Task<Work>) -> Self::Future {
        let runner = self.clone();
        let leased = task.args.leased.clone();
        Box::pin(async move { Ok(runner.run(&leased).await) })
    }
}

impl Runner {
    async fn run(&self, leased: &Leased) -> Settle {
        let job = &leased.job;
        if job.deadline.is_some_and(|deadline| now_ms() > deadline) {
            let failure = Failure::new(
                "DEADLINE_EXCEEDED",
                "the deadline passed before the job started",
            );
            return Settle::Rejected(failure);
        }
        let handler = match self.handlers.find(job) {
            Ok(handler) => handler,
            Err(code) => return hand_back_unknown(leased, code).await,
        };
        let span = tracing::info_span!(
            "job",
            job_id = %job.id,
            queue = %job.queue,
            kind = job.kind,
            attempt = leased.attempt,
            trace_id = job.traceparent.as_deref().and_then(trace_id),
            otel.kind = Empty,
            otel.name = Empty,
        );
        let step = trace::begin(&span, job.traceparent.as_deref(), "consumer", || {
            format!("job {}", job.kind)
        });
        let step = step.or_else(|| job.traceparent.clone());
        let started = Instant::now();
        let attempt = self.attempt(handler, leased, step);
        let attempt = attempt.instrument(span.clone()).await;
        let run = started.elapsed();
        self.metrics.ran(&job.queue, &job.kind, run);
        let settle = decide(handler, leased, attempt);
        if let Settle::Retry { failure, .. } | Settle::Dead(failure) = &settle {
            trace::failed(&span, failure.code.clone());
        }
        span.in_scope(|| log(&settle, run));
        settle
    }

    async fn attempt(
        &self,
        handler: &Handler,
        leased: &Leased,
        traceparent: Option<String>,
    ) -> Attempt {
        let running = match handler.start(leased) {
            Ok(running) => running,
            Err(error) => return Attempt::Undecodable(error.to_string()),
        };
        // In its own task: a panic ends only this attempt, and attempts use all cores.
        let running = trace::within(traceparent, running);
        let task =
            tokio::spawn(tokio::time::timeout(handler.time_limit, running).in_current_span());
        self.in_flight.running(&leased.lease, task.abort_handle());
        let abort_when_dropped = AbortOnDrop(task.abort_handle());
        let joined = task.await;
        drop(abort_when_dropped);
        match joined {
            Ok(Ok(result)) => Attempt::Finished(result),
            Ok(Err(_)) => Attempt::TimedOut,
            Err(error) if error.is_panic() => Attempt::Panicked,
            Err(_) => Attempt::Aborted,
        }
    }
}

impl Handlers {
    /// Runs one attempt in the caller's task, with the limits and outcomes of a pool. Dropping the
    /// future stops the attempt at its current await point, as a crash of the process would. Pools
    /// never do that; crash tests need it.
    pub async fn attempt(&self, leased: &Leased) -> Settle {
        let handler = match self.find(&leased.job) {
            Ok(handler) => handler,
            Err(code) => return hand_back_unknown(leased, code).await,
        };
        let attempt = match handler.start(leased) {
            Err(error) => Attempt::Undecodable(error.to_string()),
            Ok(running) => match tokio::time::timeout(handler.time_limit, running).await {
                Ok(result) => Attempt::Finished(result),
                Err(_) => Attempt::TimedOut,
            },
        };
        decide(handler, leased, attempt)
    }
}

/// Leaves a job of an unknown kind or version to a newer worker. This uses up no attempt.
async fn hand_back_unknown(leased: &Leased, code: &'static str) -> Settle {
    let job = &leased.job;
    let waited = now_ms().saturating_sub(job.enqueued_at.saturating_add(job.delay_ms));
    if waited > millis(UNKNOWN_TIMEOUT) {
        let detail = format!("no worker supports version {} of {}", job.version, job.kind);
        let failure = Failure::new(code, detail);
        tracing::error!(job_id = %job.id, queue = %job.queue, error = %failure, "job dead-lettered");
        return Settle::Dead(failure);
    }
    tracing::warn!(
        job_id = %job.id, queue = %job.queue, kind = job.kind, version = job.version, code,
        "job left to a newer worker"
    );
    tokio::time::sleep(UNKNOWN_HOLD).await;
    Settle::HandBack
}

/// The trace id of a W3C traceparent.
fn trace_id(traceparent: &str) -> Option<&str> {
    traceparent.split('-').nth(1)
}

struct AbortOnDrop(tokio::task::AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

enum Attempt {
    Finished(Result<Box<serde_json::value::RawValue>, JobError>),
    Undecodable(String),
    TimedOut,
    Panicked,
    Aborted,
}

fn decide(handler: &Handler, leased: &Leased, attempt: Attempt) -> Settle {
    let policy_delay = || handler.retry.delay(leased.attempt, handler.jitter);
    match attempt {
        Attempt::Finished(Ok(result)) => Settle::Succeeded(result),
        Attempt::Finished(Err(JobError::Reject(failure))) => Settle::Rejected(failure),
        Attempt::Finished(Err(JobError::Fail(failure))) => Settle::Dead(failure),
        Attempt::Finished(Err(JobError::Retry { after, failure })) => {
            retry_or_dead(leased, after.unwrap_or_else(policy_delay), failure)
        }
        Attempt::Undecodable(error) => Settle::Dead(Failure::new(
            "UNDECODABLE",
            format!("the payload cannot be decoded: {error}"),
        )),
        Attempt::TimedOut => {
            let failure = Failure::new("JOB_TIMED_OUT", "the attempt exceeded its time limit");
            retry_or_dead(leased, policy_delay(), failure)
        }
        Attempt::Panicked => {
            let failure = Failure::new("JOB_CRASHED", "the attempt panicked");
            retry_or_dead(leased, policy_delay(), failure)
        }
        // The pool is stopping, or the lease was lost: another worker runs the job.
        Attempt::Aborted => Settle::HandBack,
    }
}

fn retry_or_dead(leased: &Leased, after: Duration, failure: Failure) -> Settle {
    let past_deadline = leased
        .job
        .deadline
        .is_some_and(|deadline| now_ms().saturating_add(millis(after)) > deadline);
    if leased.attempt >= leased.job.max_attempts || past_deadline {
        Settle::Dead(failure)
    } else {
        Settle::Retry { after, failure }
    }
}

fn log(settle: &Settle, run: Duration) {
    let run_ms = millis(run);
    match settle {
        Settle::Succeeded(_) => tracing::info!(run_ms, "job succeeded"),
        Settle::Rejected(failure) => tracing::info!(run_ms, error = %failure, "job rejected"),
        Settle::Retry { after, failure } => {
            tracing::warn!(run_ms, error = %failure, after_ms = millis(*after), "attempt failed, will retry");
        }
        Settle::Dead(failure) => tracing::error!(run_ms, error = %failure, "job dead-lettered"),
        Settle::HandBack => tracing::info!(run_ms, "job handed back"),
    }
}
