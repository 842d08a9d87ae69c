//! Worker pools on every engine: retries, dead letters, panics, time limits, lease renewal and
//! graceful stop.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed expectation fails the test"
)]

mod engines;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use avalon_queue::{
    Failure, Handlers, Job, JobContext, JobError, JobId, JobState, JobView, NewJob, Pool,
    PoolSettings, QueueName, RetryPolicy,
};
use engines::{Engine, LONG, Probe, QUEUE, metrics, probe};
use serde::{Deserialize, Serialize};

on_every_engine!(
    handler_gets_the_payload_and_returns_the_result,
    failing_job_is_dead_after_max_attempts,
    rejected_and_failed_jobs_are_not_retried,
    panic_fails_one_attempt_of_one_job,
    attempt_past_its_time_limit_fails,
    job_past_its_deadline_is_not_started,
    undecodable_payload_is_dead_lettered_and_worker_continues,
    job_of_a_newer_version_is_left_to_a_newer_worker,
    pool_leases_no_more_jobs_than_it_can_run,
    job_longer_than_the_lease_timeout_keeps_its_lease,
    stop_lets_running_jobs_finish,
    stop_hands_jobs_back_after_the_grace_period,
    backlog_of_twenty_thousand_due_jobs_drains,
);

fn settings() -> PoolSettings {
    PoolSettings {
        concurrency: 8,
        lease_timeout: Duration::from_secs(5),
        max_lost_leases: 3,
        stop_grace: Duration::from_secs(5),
        block: Duration::from_millis(100),
    }
}

fn start(engine: &Engine, handlers: Handlers, settings: PoolSettings) -> Pool {
    Pool::start(
        Arc::clone(&engine.store),
        &QUEUE,
        Arc::new(handlers),
        settings,
        metrics(),
    )
}

fn handler<F>(result: F) -> Handlers
where
    F: Fn(u64, &JobContext) -> Result<u64, JobError> + Send + Sync + 'static,
{
    let result = Arc::new(result);
    Handlers::new().on::<Probe, _, _>(move |job, context| {
        let result = Arc::clone(&result);
        async move { result(job.n, &context) }
    })
}

async fn enqueue(engine: &Engine, job: NewJob) -> JobId {
    engine.store.enqueue(vec![job]).await.unwrap()[0].id()
}

async fn end_of(engine: &Engine, id: JobId) -> JobView {
    let view = engine.store.outcome(id, LONG).await.unwrap().unwrap();
    assert!(view.state.is_final(), "{view:?}");
    view
}

async fn handler_gets_the_payload_and_returns_the_result(engine: Engine) {
    let pool = start(&engine, handler(|n, _| Ok(n * 2)), settings());
    let id = enqueue(&engine, probe(21)).await;
    let view = end_of(&engine, id).await;
    assert_eq!(
        (view.state, view.result.unwrap().get()),
        (JobState::Succeeded, "42")
    );
    pool.stop().await;
}

/// apalis-redis: `max_attempts` is ignored (25 attempts, +n seconds).
async fn failing_job_is_dead_after_max_attempts(engine: Engine) {
    let attempts = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&attempts);
    let handlers = handler(move |_, context| {
        seen.lock().unwrap().push(context.attempt);
        Err(JobError::retry(Failure::new("WECHAT_BUSY", "try again")))
    });
    let pool = start(&engine, handlers, settings());
    let started = Instant::now();
    let id = enqueue(&engine, probe(1)).await;
    let view = end_of(&engine, id).await;
    assert_eq!(view.state, JobState::Dead);
    assert_eq!(
        view.error.unwrap().code,
        "WECHAT_BUSY",
        "with its last error"
    );
    assert_eq!(*attempts.lock().unwrap(), [1, 2, 3]);
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "back-off of the kind's policy"
    );
    pool.stop().await;
}

async fn rejected_and_failed_jobs_are_not_retried(engine: Engine) {
    let pool = start(
        &engine,
        handler(|n, _| match n {
            1 => Err(JobError::Reject(Failure::new("SIGN_IN_AGAIN", "used"))),
            _ => Err(JobError::Fail(Failure::new(
                "MISCONFIGURED",
                "the secret is wrong",
            ))),
        }),
        settings(),
    );
    let (rejected, failed) = (
        enqueue(&engine, probe(1)).await,
        enqueue(&engine, probe(2)).await,
    );
    let view = end_of(&engine, rejected).await;
    assert_eq!((view.state, view.attempts), (JobState::Rejected, 1));
    let view = end_of(&engine, failed).await;
    assert_eq!((view.state, view.attempts), (JobState::Dead, 1));
    pool.stop().await;
}

async fn panic_fails_one_attempt_of_one_job(engine: Engine) {
    let handlers = handler(|n, context| {
        assert!(
            n != 1 || context.attempt > 1,
            "the first attempt of job 1 panics"
        );
        Ok(n)
    });
    let pool = start(&engine, handlers, settings());
    let (bad, good) = (
        enqueue(&engine, probe(1)).await,
        enqueue(&engine, probe(2)).await,
    );
    assert_eq!(end_of(&engine, good).await.state, JobState::Succeeded);
    let view = end_of(&engine, bad).await;
    assert_eq!((view.state, view.attempts), (JobState::Succeeded, 2));
    pool.stop().await;
}

async fn attempt_past_its_time_limit_fails(engine: Engine) {
    let handlers = Handlers::new().on::<engines::ShortLived, _, _>(|_, _| async {
        tokio::time::sleep(LONG).await;
        Ok(())
    });
    let pool = start(&engine, handlers, settings());
    let mut job = NewJob::from_job(&engines::ShortLived);
    job.dead_ttl_ms = 0;
    let id = enqueue(&engine, job).await;
    let view = end_of(&engine, id).await;
    assert_eq!(
        (view.state, view.error.unwrap().code.as_str()),
        (JobState::Dead, "JOB_TIMED_OUT")
    );
    pool.stop().await;
}

async fn job_past_its_deadline_is_not_started(engine: Engine) {
    let id = enqueue(&engine, probe(1).expiring_after(Duration::from_millis(1))).await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    let pool = start(&engine, handler(|_, _| unreachable!()), settings());
    let view = end_of(&engine, id).await;
    assert_eq!(view.error.unwrap().code, "DEADLINE_EXCEEDED");
    pool.stop().await;
}

/// apalis-redis: an undecodable payload ends the worker, and then the next one.
async fn undecodable_payload_is_dead_lettered_and_worker_continues(engine: Engine) {
    let pool = start(&engine, handler(|n, _| Ok(n)), settings());
    let mut wrong = probe(1);
    wrong.payload = serde_json::value::RawValue::from_string("{\"n\":\"seven\"}".to_owned())
        .unwrap()
        .into();
    let (bad, good) = (
        enqueue(&engine, wrong).await,
        enqueue(&engine, probe(2)).await,
    );
    let view = end_of(&engine, bad).await;
    assert_eq!(
        (view.state, view.attempts),
        (JobState::Dead, 1),
        "not retried"
    );
    assert_eq!(view.error.unwrap().code, "UNDECODABLE");
    assert_eq!(
        view.payload.unwrap().get(),
        "{\"n\":\"seven\"}",
        "stored for inspection"
    );
    assert_eq!(end_of(&engine, good).await.state, JobState::Succeeded);
    pool.stop().await;
}

/// The next version of [`Probe`], which older workers do not support.
#[derive(Serialize, Deserialize)]
struct NextProbe {
    n: u64,
    doubled: bool,
}

impl Job for NextProbe {
    const QUEUE: QueueName = QUEUE;
    const KIND: &'static str = Probe::KIND;
    const VERSION: u16 = Probe::VERSION + 1;
    const RETRY: RetryPolicy = RetryPolicy::NEVER;
    const TIME_LIMIT: Duration = Probe::TIME_LIMIT;
    type Output = u64;
}

async fn job_of_a_newer_version_is_left_to_a_newer_worker(engine: Engine) {
    let old = start(&engine, handler(|n, _| Ok(n)), settings());
    let next = NextProbe {
        n: 21,
        doubled: true,
    };
    let mut unknown_kind = NewJob::from_job(&next);
    unknown_kind.kind = "of_the_next_version".to_owned();
    let newer = enqueue(&engine, NewJob::from_job(&next)).await;
    let unknown = enqueue(&engine, unknown_kind).await;
    // The old worker has leased both.
    avalon_test_support::eventually_eq(LONG, true, async || {
        let both = [newer, unknown].map(|id| engine.store.get(id));
        let [newer, unknown] = both;
        let states = [newer.await, unknown.await].map(|view| view.unwrap().unwrap().state);
        states == [JobState::Running; 2]
    })
    .await;
    let handlers = Handlers::new().on::<NextProbe, _, _>(|job, _| async move {
        assert!(job.doubled);
        Ok(job.n * 2)
    });
    let new = start(&engine, handlers, settings());
    let view = end_of(&engine, newer).await;
    assert_eq!(view.state, JobState::Succeeded, "{:?}", view.error);
    assert_eq!(view.result.unwrap().get(), "42");
    assert_eq!(view.attempts, 1, "the older worker used no attempt");
    let view = engine.store.get(unknown).await.unwrap().unwrap();
    assert!(
        !view.state.is_final(),
        "not dead, although its kind allows one attempt"
    );
    old.stop().await;
    new.stop().await;
}

async fn pool_leases_no_more_jobs_than_it_can_run(engine: Engine) {
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let opened = Arc::clone(&gate);
    let handlers = Handlers::new().on::<Probe, _, _>(move |job, _| {
        let gate = Arc::clone(&opened);
        async move {
            gate.acquire().await.unwrap().forget();
            Ok(job.n)
        }
    });
    let jobs: Vec<NewJob> = (0..30).map(probe).collect();
    let ids: Vec<JobId> = jobs.iter().map(|job| job.id).collect();
    engine.store.enqueue(jobs).await.unwrap();
    let pool = start(&engine, handlers, settings());
    let lanes = engine.store.lanes(&QUEUE).len() as u64;
    let max = 8u64.div_ceil(lanes) * lanes;
    avalon_test_support::eventually_eq(LONG, true, async || {
        engine.store.stats().await.unwrap()[0].running >= 6
    })
    .await;
    let stats = engine.store.stats().await.unwrap().remove(0);
    assert!(stats.running <= max, "{stats:?}");
    gate.add_permits(30);
    for id in ids {
        assert_eq!(end_of(&engine, id).await.state, JobState::Succeeded);
    }
    pool.stop().await;
}

async fn job_longer_than_the_lease_timeout_keeps_its_lease(engine: Engine) {
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let handlers = Handlers::new().on::<Probe, _, _>(move |job, _| {
        counted.fetch_add(1, Ordering::SeqCst);
        async move {
            tokio::time::sleep(Duration::from_millis(1500)).await;
            Ok(job.n)
        }
    });
    let short = PoolSettings {
        lease_timeout: Duration::from_millis(450),
        ..settings()
    };
    // Two pools: each reclaims expired leases of the other.
    let pools = [
        start(&engine, handlers.clone(), short.clone()),
        start(&engine, handlers, short),
    ];
    let id = enqueue(&engine, probe(1)).await;
    let view = end_of(&engine, id).await;
    assert_eq!((view.state, view.attempts), (JobState::Succeeded, 1));
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    for pool in pools {
        pool.stop().await;
    }
}

async fn stop_lets_running_jobs_finish(engine: Engine) {
    let (started, mut running) = tokio::sync::mpsc::unbounded_channel();
    let handlers = Handlers::new().on::<Probe, _, _>(move |job, _| {
        started.send(()).unwrap();
        async move {
            tokio::time::sleep(Duration::from_millis(400)).await;
            Ok(job.n)
        }
    });
    let pool = start(&engine, handlers, settings());
    let id = enqueue(&engine, probe(1)).await;
    running.recv().await.unwrap();
    let stopping = tokio::spawn(pool.stop());
    stopping.await.unwrap();
    let view = engine.store.get(id).await.unwrap().unwrap();
    assert_eq!((view.state, view.attempts), (JobState::Succeeded, 1));
    let late = enqueue(&engine, probe(2)).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(
        engine.store.get(late).await.unwrap().unwrap().state,
        JobState::Queued
    );
}

async fn stop_hands_jobs_back_after_the_grace_period(engine: Engine) {
    let (started, mut running) = tokio::sync::mpsc::unbounded_channel();
    let handlers = Handlers::new().on::<Probe, _, _>(move |_, _| {
        started.send(()).unwrap();
        async move {
            tokio::time::sleep(LONG).await;
            Ok(0)
        }
    });
    let short_grace = PoolSettings {
        stop_grace: Duration::from_millis(100),
        ..settings()
    };
    let pool = start(&engine, handlers, short_grace);
    let id = enqueue(&engine, probe(1)).await;
    running.recv().await.unwrap();
    let stopped = Instant::now();
    pool.stop().await;
    assert!(
        stopped.elapsed() < Duration::from_secs(3),
        "bounded: {:?}",
        stopped.elapsed()
    );
    let view = engine.store.get(id).await.unwrap().unwrap();
    assert_eq!(
        (view.state, view.attempts),
        (JobState::Queued, 0),
        "ready at once, no attempt used"
    );

    let pool = start(&engine, handler(|n, _| Ok(n)), settings());
    assert_eq!(end_of(&engine, id).await.attempts, 1);
    pool.stop().await;
}

/// apalis-redis: a backlog of more than about 8,000 due jobs ends its worker for good.
async fn backlog_of_twenty_thousand_due_jobs_drains(engine: Engine) {
    const JOBS: u64 = 20_000;
    let short_delay = Duration::from_millis(1);
    for from in (0..JOBS).step_by(1000) {
        // Half of them are delayed, so that all become due at the same time.
        let jobs = (from..from + 1000)
            .map(|n| {
                if n % 2 == 0 {
                    probe(n)
                } else {
                    probe(n).delayed(short_delay)
                }
            })
            .collect();
        engine.store.enqueue(jobs).await.unwrap();
    }
    let done = Arc::new(AtomicU64::new(0));
    let sum = Arc::new(Mutex::new(HashMap::<u64, u32>::new()));
    let (counted, tally) = (Arc::clone(&done), Arc::clone(&sum));
    let handlers = handler(move |n, _| {
        *tally.lock().unwrap().entry(n).or_default() += 1;
        counted.fetch_add(1, Ordering::SeqCst);
        Ok(n)
    });
    let pool = start(
        &engine,
        handlers,
        PoolSettings {
            concurrency: 256,
            ..settings()
        },
    );
    avalon_test_support::eventually_eq(Duration::from_secs(120), JOBS, async || {
        done.load(Ordering::SeqCst)
    })
    .await;
    pool.stop().await;
    assert!(
        sum.lock().unwrap().values().all(|times| *times == 1),
        "every job ran once"
    );
    let stats = engine.store.stats().await.unwrap().remove(0);
    assert_eq!(
        (stats.ready, stats.running, stats.scheduled, stats.dead),
        (0, 0, 0, 0)
    );
}
