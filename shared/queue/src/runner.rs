//! One attempt: finds the handler, runs it within its time limit, and judges its answer. As an
//! apalis (tower) service from a leased job to its fate; settling that fate is `ack`'s work.

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

/// A job that this program does not know, or in a shape that it does not know, may be known to a newer
/// one that is being rolled out: it is kept for this long and then handed back, so that two old workers
/// don't throw it to each other all the time.
const UNKNOWN_HOLD: Duration = Duration::from_secs(2);
/// When nobody has known it for this long, nobody will.
const UNKNOWN_FOR: Duration = Duration::from_secs(15 * 60);

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
            let failure = Failure::new("DEADLINE_EXCEEDED", "nobody got to it in time");
            return Settle::Rejected(failure);
        }
        let handler = match self.handlers.knowing(job) {
            Ok(handler) => handler,
            Err(code) => return leave(leased, code).await,
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
        let begun = Instant::now();
        let attempt = self.attempt(handler, leased, step);
        let answer = attempt.instrument(span.clone()).await;
        let run = begun.elapsed();
        self.metrics.ran(&job.queue, &job.kind, run);
        let settle = judge(handler, leased, answer);
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
        // A task of its own: a panic ends this attempt and nothing else, and it runs on any core.
        let running = trace::within(traceparent, running);
        let task =
            tokio::spawn(tokio::time::timeout(handler.time_limit, running).in_current_span());
        self.in_flight.running(&leased.lease, task.abort_handle());
        let abort_when_dropped = AbortOnDrop(task.abort_handle());
        let joined = task.await;
        drop(abort_when_dropped);
        match joined {
            Ok(Ok(answer)) => Attempt::Answered(answer),
            Ok(Err(_)) => Attempt::TooSlow,
            Err(error) if error.is_panic() => Attempt::Panicked,
            Err(_) => Attempt::Aborted,
        }
    }
}

impl Handlers {
    /// Runs one attempt in the caller's own task and judges it as a pool does. Dropping the future
    /// ends the attempt where it stands, as the death of its process would: what pools never do, and
    /// what tests of such deaths need.
    pub async fn attempt(&self, leased: &Leased) -> Settle {
        let handler = match self.knowing(&leased.job) {
            Ok(handler) => handler,
            Err(code) => return leave(leased, code).await,
        };
        let answer = match handler.start(leased) {
            Err(error) => Attempt::Undecodable(error.to_string()),
            Ok(running) => match tokio::time::timeout(handler.time_limit, running).await {
                Ok(answer) => Attempt::Answered(answer),
                Err(_) => Attempt::TooSlow,
            },
        };
        judge(handler, leased, answer)
    }
}

/// Leaves a job to a newer worker. No attempt is used up, whatever the kind's limits are.
async fn leave(leased: &Leased, code: &'static str) -> Settle {
    let job = &leased.job;
    let waited = now_ms().saturating_sub(job.enqueued_at.saturating_add(job.delay_ms));
    if waited > millis(UNKNOWN_FOR) {
        let detail = format!("no worker knew version {} of {}", job.version, job.kind);
        let failure = Failure::new(code, detail);
        tracing::error!(job_id = %job.id, queue = %job.queue, error = %failure, "job is dead");
        return Settle::Dead(failure);
    }
    tracing::warn!(
        job_id = %job.id, queue = %job.queue, kind = job.kind, version = job.version, code,
        "the job is left to a newer worker"
    );
    tokio::time::sleep(UNKNOWN_HOLD).await;
    Settle::HandBack
}

/// The part of a W3C traceparent that names the trace.
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
    Answered(Result<Box<serde_json::value::RawValue>, JobError>),
    Undecodable(String),
    TooSlow,
    Panicked,
    Aborted,
}

fn judge(handler: &Handler, leased: &Leased, attempt: Attempt) -> Settle {
    let policy_delay = || handler.retry.delay(leased.attempt, handler.jitter);
    match attempt {
        Attempt::Answered(Ok(result)) => Settle::Succeeded(result),
        Attempt::Answered(Err(JobError::Reject(failure))) => Settle::Rejected(failure),
        Attempt::Answered(Err(JobError::Fail(failure))) => Settle::Dead(failure),
        Attempt::Answered(Err(JobError::Retry { after, failure })) => {
            retry_or_die(leased, after.unwrap_or_else(policy_delay), failure)
        }
        Attempt::Undecodable(error) => Settle::Dead(Failure::new(
            "UNDECODABLE",
            format!("not a payload of its kind: {error}"),
        )),
        Attempt::TooSlow => {
            let failure = Failure::new("JOB_TIMED_OUT", "the attempt took longer than its limit");
            retry_or_die(leased, policy_delay(), failure)
        }
        Attempt::Panicked => {
            let failure = Failure::new("JOB_CRASHED", "the attempt panicked");
            retry_or_die(leased, policy_delay(), failure)
        }
        // The pool stops, or the lease was lost: somebody else goes on.
        Attempt::Aborted => Settle::HandBack,
    }
}

fn retry_or_die(leased: &Leased, after: Duration, failure: Failure) -> Settle {
    let too_late = leased
        .job
        .deadline
        .is_some_and(|deadline| now_ms().saturating_add(millis(after)) > deadline);
    if leased.attempt >= leased.job.max_attempts || too_late {
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
            tracing::warn!(run_ms, error = %failure, after_ms = millis(*after), "job will be retried");
        }
        Settle::Dead(failure) => tracing::error!(run_ms, error = %failure, "job is dead"),
        Settle::HandBack => tracing::info!(run_ms, "job handed back"),
    }
}
