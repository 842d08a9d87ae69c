//! The contract of `JobStore`: one suite that every engine passes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed expectation fails the test"
)]

mod engines;

use std::collections::HashSet;
use std::time::{Duration, Instant};

use avalon_queue::store::ReclaimPolicy;
use avalon_queue::{
    Enqueued, Failure, IdempotencyKey, Job, JobFilter, JobId, JobState, Leased, NewJob, QueueName,
    RetryPolicy, Settle, Settled, Settlement, StoreError,
};
use engines::{Engine, LONG, OTHER, QUEUE, SHORT, ShortLived, probe};

on_every_engine!(
    job_is_leased_once_and_its_result_can_be_read,
    jobs_of_other_queues_are_not_leased,
    enqueueing_the_same_id_again_is_idempotent,
    idle_worker_leases_a_job_at_once,
    delayed_job_is_leased_when_due,
    earlier_job_shortens_the_wait_for_a_later_one,
    retry_has_the_next_attempt_number_and_the_last_error,
    idempotency_key_holds_in_flight_and_for_its_ttl,
    dead_job_releases_its_idempotency_key,
    rejected_job_has_an_error_and_is_no_dead_letter,
    dead_letter_can_be_listed_read_replayed_and_purged,
    expired_lease_uses_an_attempt_and_moves_to_another_worker,
    extended_lease_does_not_expire,
    settling_under_a_lost_lease_has_no_effect,
    job_lost_in_its_last_attempt_is_dead_lettered,
    job_that_crashes_workers_is_dead_lettered,
    job_handed_back_uses_no_attempt,
    outcome_returns_when_the_job_ends,
    outcome_returns_after_the_wait,
    results_expire,
    dead_letters_of_a_kind_with_a_ttl_expire,
    reclaim_does_not_delete_retrying_jobs,
    stats_count_every_state,
    consumers_are_listed_until_they_are_retired,
    lists_are_paged_without_gaps_or_duplicates,
    settling_a_batch_returns_results_in_order,
    settling_again_after_a_lost_response_is_idempotent,
    unknown_job_is_none,
    unserialisable_job_is_not_stored,
);

/// Leases from all lanes, like a worker with a fetch loop per lane.
async fn lease(engine: &Engine, max: usize, block: Duration) -> Vec<Leased> {
    lease_as(engine, "worker-1", max, block).await
}

async fn lease_as(engine: &Engine, consumer: &str, max: usize, block: Duration) -> Vec<Leased> {
    let store = &engine.store;
    let deadline = Instant::now() + block;
    loop {
        let lanes = store.lanes(&QUEUE);
        let slice = if lanes.len() > 1 {
            Duration::from_millis(5)
        } else {
            block
        };
        let mut leased = Vec::new();
        for lane in lanes {
            let rest = max - leased.len();
            if rest > 0 {
                leased.extend(store.lease(&lane, consumer, rest, slice).await.unwrap());
            }
        }
        if !leased.is_empty() || Instant::now() >= deadline {
            return leased;
        }
    }
}

async fn lease_one(engine: &Engine) -> Leased {
    let mut leased = lease(engine, 1, LONG).await;
    assert_eq!(leased.len(), 1, "a job is due");
    leased.remove(0)
}

async fn enqueue(engine: &Engine, job: NewJob) -> JobId {
    let id = job.id;
    assert_eq!(
        engine.store.enqueue(vec![job]).await.unwrap(),
        [Enqueued::New(id)]
    );
    id
}

async fn settle(engine: &Engine, leased: Leased, settle: Settle) -> Settled {
    engine
        .store
        .settle(&[Settlement { leased, settle }])
        .await
        .unwrap()[0]
}

fn success(result: &str) -> Settle {
    Settle::Succeeded(serde_json::value::RawValue::from_string(result.to_owned()).unwrap())
}

fn retry_at_once() -> Settle {
    Settle::Retry {
        after: Duration::ZERO,
        failure: Failure::new("TEST", "not yet"),
    }
}

async fn state(engine: &Engine, id: JobId) -> JobState {
    engine
        .store
        .get(id)
        .await
        .unwrap()
        .expect("the job exists")
        .state
}

async fn reclaim(engine: &Engine, idle: Duration, max_lost_leases: u32) -> (u64, u64, u64) {
    let policy = ReclaimPolicy {
        lease_timeout: idle,
        max_lost_leases,
    };
    let mut sum = (0, 0, 0);
    for lane in engine.store.lanes(&QUEUE) {
        let part = engine.store.reclaim(&lane, &policy).await.unwrap();
        sum = (
            sum.0 + part.requeued,
            sum.1 + part.exhausted,
            sum.2 + part.poisoned,
        );
    }
    sum
}

async fn job_is_leased_once_and_its_result_can_be_read(engine: Engine) {
    let id = enqueue(&engine, probe(7).owned_by("user-1").traced("00-ab-cd-01")).await;
    assert_eq!(state(&engine, id).await, JobState::Queued);

    let leased = lease_one(&engine).await;
    assert_eq!((leased.job.id, leased.attempt), (id, 1));
    assert_eq!(leased.job.payload.get(), r#"{"n":7}"#);
    assert_eq!(state(&engine, id).await, JobState::Running);
    assert!(lease(&engine, 1, SHORT).await.is_empty(), "already leased");

    assert_eq!(
        settle(&engine, leased, success("{\"answer\":42}")).await,
        Settled::Done
    );
    let view = engine.store.get(id).await.unwrap().unwrap();
    assert_eq!(view.state, JobState::Succeeded);
    assert_eq!(view.result.unwrap().get(), "{\"answer\":42}");
    assert_eq!((view.attempts, view.kind.as_str()), (1, "probe"));
    assert_eq!(view.owner.as_deref(), Some("user-1"));
    assert_eq!(view.traceparent.as_deref(), Some("00-ab-cd-01"));
    assert!(view.finished_at.unwrap() >= view.enqueued_at);
    assert!(lease(&engine, 1, SHORT).await.is_empty(), "no job is left");
}

async fn jobs_of_other_queues_are_not_leased(engine: Engine) {
    let mut job = probe(1);
    job.queue = OTHER;
    enqueue(&engine, job).await;
    assert!(lease(&engine, 1, SHORT).await.is_empty());
}

async fn enqueueing_the_same_id_again_is_idempotent(engine: Engine) {
    let job = probe(1);
    let id = enqueue(&engine, job.clone()).await;
    let again = engine.store.enqueue(vec![job]).await.unwrap();
    assert_eq!(again, [Enqueued::Existing(id)]);
    assert_eq!(lease(&engine, 10, SHORT).await.len(), 1);
}

/// apalis-redis: an idle worker notices a job at its next heartbeat.
async fn idle_worker_leases_a_job_at_once(engine: Engine) {
    let store = std::sync::Arc::clone(&engine.store);
    let waiting = tokio::spawn(async move {
        let leased = lease(&engine, 1, LONG).await;
        (leased, Instant::now())
    });
    // Lets the lease block first; a shorter pause would only make the test easier.
    tokio::time::sleep(Duration::from_millis(150)).await;
    let enqueued = Instant::now();
    store.enqueue(vec![probe(1)]).await.unwrap();
    let (leased, leased_at) = waiting.await.unwrap();
    assert_eq!(leased.len(), 1);
    assert!(leased_at.duration_since(enqueued) < Duration::from_secs(1));
}

/// apalis-redis: custom delays are ignored.
async fn delayed_job_is_leased_when_due(engine: Engine) {
    let started = Instant::now();
    let id = enqueue(&engine, probe(1).delayed(Duration::from_millis(300))).await;
    let view = engine.store.get(id).await.unwrap().unwrap();
    assert_eq!(view.state, JobState::Queued);
    assert!(view.due_at.unwrap() >= view.enqueued_at + 290);
    // Not due yet, unless the machine is so busy that this returns late.
    if lease(&engine, 1, Duration::from_millis(100))
        .await
        .is_empty()
    {
        lease_one(&engine).await;
    }
    let waited = started.elapsed();
    assert!(
        waited >= Duration::from_millis(295),
        "leased after {waited:?}"
    );
    assert!(waited < Duration::from_secs(2), "leased after {waited:?}");
}

async fn earlier_job_shortens_the_wait_for_a_later_one(engine: Engine) {
    enqueue(&engine, probe(1).delayed(Duration::from_secs(3600))).await;
    assert!(lease(&engine, 1, SHORT).await.is_empty());
    let started = Instant::now();
    enqueue(&engine, probe(2).delayed(Duration::from_millis(100))).await;
    assert_eq!(lease_one(&engine).await.job.payload.get(), r#"{"n":2}"#);
    assert!(started.elapsed() < Duration::from_secs(2));
}

async fn retry_has_the_next_attempt_number_and_the_last_error(engine: Engine) {
    let id = enqueue(&engine, probe(1)).await;
    let leased = lease_one(&engine).await;
    let after = Duration::from_millis(200);
    let failure = Failure::new("WECHAT_BUSY", "later");
    settle(
        &engine,
        leased,
        Settle::Retry {
            after,
            failure: failure.clone(),
        },
    )
    .await;

    let view = engine.store.get(id).await.unwrap().unwrap();
    assert_eq!((view.state, view.attempts), (JobState::Retrying, 1));
    assert_eq!(view.error, Some(failure));
    assert!(view.due_at.is_some());

    let leased = lease_one(&engine).await;
    assert_eq!(
        (leased.job.id, leased.attempt, leased.lost_leases),
        (id, 2, 0)
    );
    settle(&engine, leased, success("1")).await;
    let view = engine.store.get(id).await.unwrap().unwrap();
    assert_eq!(
        (view.state, view.attempts, view.error),
        (JobState::Succeeded, 2, None)
    );
}

/// apalis-redis: idempotency keys without a TTL expire at once.
async fn idempotency_key_holds_in_flight_and_for_its_ttl(engine: Engine) {
    let key = || IdempotencyKey::new("code-1", Duration::from_millis(400));
    let id = enqueue(&engine, probe(1).once_per(key())).await;
    let again = |n| engine.store.enqueue(vec![probe(n).once_per(key())]);
    assert_eq!(
        again(2).await.unwrap(),
        [Enqueued::Existing(id)],
        "while it is ready"
    );
    let leased = lease_one(&engine).await;
    tokio::time::sleep(Duration::from_millis(450)).await;
    assert_eq!(
        again(3).await.unwrap(),
        [Enqueued::Existing(id)],
        "while it is running"
    );
    settle(&engine, leased, success("1")).await;
    assert_eq!(
        again(4).await.unwrap(),
        [Enqueued::Existing(id)],
        "within the TTL"
    );
    tokio::time::sleep(Duration::from_millis(450)).await;
    assert!(
        matches!(again(5).await.unwrap()[..], [Enqueued::New(_)]),
        "after the TTL"
    );
    let without_ttl = IdempotencyKey::new("code-2", Duration::ZERO);
    let id = enqueue(&engine, probe(6).once_per(without_ttl.clone())).await;
    let repeated = engine
        .store
        .enqueue(vec![probe(7).once_per(without_ttl)])
        .await
        .unwrap();
    assert_eq!(
        repeated,
        [Enqueued::Existing(id)],
        "a key without a TTL still holds while in flight"
    );
}

async fn dead_job_releases_its_idempotency_key(engine: Engine) {
    let key = IdempotencyKey::new("k", Duration::from_secs(60));
    enqueue(&engine, probe(1).once_per(key.clone())).await;
    let leased = lease_one(&engine).await;
    settle(&engine, leased, Settle::Dead(Failure::new("X", "x"))).await;
    let again = engine
        .store
        .enqueue(vec![probe(2).once_per(key)])
        .await
        .unwrap();
    assert!(matches!(again[..], [Enqueued::New(_)]));
}

async fn rejected_job_has_an_error_and_is_no_dead_letter(engine: Engine) {
    let id = enqueue(&engine, probe(1)).await;
    let leased = lease_one(&engine).await;
    settle(
        &engine,
        leased,
        Settle::Rejected(Failure::new("SIGN_IN_AGAIN", "used")),
    )
    .await;
    let view = engine.store.get(id).await.unwrap().unwrap();
    assert_eq!(view.state, JobState::Rejected);
    assert_eq!(view.error.unwrap().code, "SIGN_IN_AGAIN");
    assert_eq!(engine.store.stats().await.unwrap()[0].dead, 0);
    assert!(!engine.store.replay(id).await.unwrap());
}

async fn dead_letter_can_be_listed_read_replayed_and_purged(engine: Engine) {
    let id = enqueue(&engine, probe(5)).await;
    let leased = lease_one(&engine).await;
    settle(
        &engine,
        leased,
        Settle::Dead(Failure::new("BROKEN", "it broke")),
    )
    .await;

    let filter = JobFilter {
        queue: Some(QUEUE),
        state: JobState::Dead,
        cursor: None,
        limit: 10,
    };
    let dead = engine.store.list(&filter).await.unwrap().jobs;
    assert_eq!(dead.len(), 1);
    assert_eq!(
        (dead[0].id, dead[0].error.as_ref().unwrap().code.as_str()),
        (id, "BROKEN")
    );
    assert_eq!(
        dead[0].payload.as_ref().unwrap().get(),
        r#"{"n":5}"#,
        "with its payload"
    );

    assert!(engine.store.replay(id).await.unwrap());
    assert!(!engine.store.replay(id).await.unwrap(), "already replayed");
    let leased = lease_one(&engine).await;
    assert_eq!(
        (leased.job.id, leased.attempt),
        (id, 1),
        "with all its attempts"
    );
    settle(
        &engine,
        leased,
        Settle::Dead(Failure::new("BROKEN", "again")),
    )
    .await;

    assert!(engine.store.purge(id).await.unwrap());
    assert!(!engine.store.purge(id).await.unwrap());
    assert!(engine.store.get(id).await.unwrap().is_none());
    assert!(engine.store.list(&filter).await.unwrap().jobs.is_empty());
}

async fn expired_lease_uses_an_attempt_and_moves_to_another_worker(engine: Engine) {
    let id = enqueue(&engine, probe(1)).await;
    let lost = lease_one(&engine).await;
    assert_eq!(
        reclaim(&engine, LONG, 5).await,
        (0, 0, 0),
        "the lease has not expired"
    );
    tokio::time::sleep(SHORT).await;
    assert_eq!(reclaim(&engine, SHORT / 2, 5).await, (1, 0, 0));
    assert_eq!(state(&engine, id).await, JobState::Retrying);
    let again = lease_as(&engine, "worker-2", 1, LONG).await.remove(0);
    assert_eq!((again.job.id, again.attempt, again.lost_leases), (id, 2, 1));
    assert_eq!(
        settle(&engine, lost, success("1")).await,
        Settled::LeaseLost
    );
    assert_eq!(settle(&engine, again, success("2")).await, Settled::Done);
    assert_eq!(
        engine
            .store
            .get(id)
            .await
            .unwrap()
            .unwrap()
            .result
            .unwrap()
            .get(),
        "2"
    );
}

async fn extended_lease_does_not_expire(engine: Engine) {
    enqueue(&engine, probe(1)).await;
    let leased = lease_one(&engine).await;
    let lease = [leased.lease.clone()];
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(
            engine.store.extend("worker-1", &lease).await.unwrap(),
            [true]
        );
        assert_eq!(
            reclaim(&engine, Duration::from_millis(250), 5).await,
            (0, 0, 0)
        );
    }
    assert_eq!(settle(&engine, leased, success("1")).await, Settled::Done);
    assert_eq!(
        engine.store.extend("worker-1", &lease).await.unwrap(),
        [false]
    );
}

async fn settling_under_a_lost_lease_has_no_effect(engine: Engine) {
    for outcome in [
        success("1"),
        retry_at_once(),
        Settle::Dead(Failure::new("X", "x")),
    ] {
        let id = enqueue(&engine, probe(1)).await;
        let lost = lease_one(&engine).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
        reclaim(&engine, Duration::from_millis(1), 5).await;
        let other = lease_as(&engine, "worker-2", 1, LONG).await.remove(0);
        assert_eq!(
            settle(&engine, lost.clone(), outcome).await,
            Settled::LeaseLost
        );
        assert_eq!(
            engine
                .store
                .extend("worker-1", &[lost.lease])
                .await
                .unwrap(),
            [false]
        );
        assert_eq!(state(&engine, id).await, JobState::Running);
        assert_eq!(settle(&engine, other, success("2")).await, Settled::Done);
    }
}

async fn job_lost_in_its_last_attempt_is_dead_lettered(engine: Engine) {
    let mut job = probe(1);
    job.max_attempts = 1;
    let id = enqueue(&engine, job).await;
    lease_one(&engine).await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(
        reclaim(&engine, Duration::from_millis(1), 5).await,
        (0, 1, 0)
    );
    let view = engine.store.get(id).await.unwrap().unwrap();
    assert_eq!(
        (view.state, view.error.unwrap().code.as_str()),
        (JobState::Dead, "LEASE_EXPIRED")
    );
}

/// apalis-redis: a job that crashes its process loops for ever.
async fn job_that_crashes_workers_is_dead_lettered(engine: Engine) {
    let mut job = probe(1);
    job.max_attempts = 100;
    let id = enqueue(&engine, job).await;
    for lost in 1..=3 {
        assert_eq!(lease_one(&engine).await.attempt, lost);
        tokio::time::sleep(Duration::from_millis(5)).await;
        let expected = if lost < 3 { (1, 0, 0) } else { (0, 0, 1) };
        assert_eq!(
            reclaim(&engine, Duration::from_millis(1), 3).await,
            expected
        );
    }
    let view = engine.store.get(id).await.unwrap().unwrap();
    assert_eq!(
        (view.state, view.error.unwrap().code.as_str()),
        (JobState::Dead, "POISON")
    );
    assert!(
        engine.store.replay(id).await.unwrap(),
        "can be replayed once the cause is fixed"
    );
}

async fn job_handed_back_uses_no_attempt(engine: Engine) {
    let id = enqueue(&engine, probe(1)).await;
    let leased = lease_one(&engine).await;
    assert_eq!(
        settle(&engine, leased, Settle::HandBack).await,
        Settled::Done
    );
    assert_eq!(state(&engine, id).await, JobState::Queued);
    let again = lease_one(&engine).await;
    assert_eq!((again.job.id, again.attempt, again.lost_leases), (id, 1, 0));
}

async fn outcome_returns_when_the_job_ends(engine: Engine) {
    let id = enqueue(&engine, probe(1)).await;
    let store = std::sync::Arc::clone(&engine.store);
    let waiting = tokio::spawn(async move {
        let started = Instant::now();
        (
            store.outcome(id, LONG).await.unwrap().unwrap(),
            started.elapsed(),
        )
    });
    let leased = lease_one(&engine).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    settle(&engine, leased, success("3")).await;
    let (view, waited) = waiting.await.unwrap();
    assert_eq!(
        (view.state, view.result.unwrap().get()),
        (JobState::Succeeded, "3")
    );
    assert!(
        waited < Duration::from_secs(5),
        "notified, not timed out: {waited:?}"
    );
    assert!(engine.store.waiters().is_empty());
}

async fn outcome_returns_after_the_wait(engine: Engine) {
    let id = enqueue(&engine, probe(1)).await;
    let view = engine
        .store
        .outcome(id, Duration::from_millis(60))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(view.state, JobState::Queued);
}

async fn results_expire(engine: Engine) {
    let id = enqueue(&engine, NewJob::from_job(&ShortLived)).await;
    let leased = lease_one(&engine).await;
    settle(&engine, leased, success("1")).await;
    assert!(engine.store.get(id).await.unwrap().is_some());
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert!(engine.store.get(id).await.unwrap().is_none());
}

async fn dead_letters_of_a_kind_with_a_ttl_expire(engine: Engine) {
    let id = enqueue(&engine, NewJob::from_job(&ShortLived)).await;
    let leased = lease_one(&engine).await;
    settle(&engine, leased, Settle::Dead(Failure::new("X", "x"))).await;
    assert_eq!(state(&engine, id).await, JobState::Dead);
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert!(engine.store.get(id).await.unwrap().is_none());
    reclaim(&engine, LONG, 5).await;
    assert_eq!(
        engine.store.stats().await.unwrap()[0].dead,
        0,
        "and are deleted from the stream"
    );
}

/// apalis-redis: `vacuum` deletes jobs that wait for a retry.
async fn reclaim_does_not_delete_retrying_jobs(engine: Engine) {
    let id = enqueue(&engine, NewJob::from_job(&ShortLived)).await;
    let leased = lease_one(&engine).await;
    let after = Duration::from_millis(400);
    settle(
        &engine,
        leased,
        Settle::Retry {
            after,
            failure: Failure::new("X", "x"),
        },
    )
    .await;
    // Longer than the TTLs of its result and its dead letter.
    tokio::time::sleep(Duration::from_millis(200)).await;
    reclaim(&engine, Duration::from_millis(1), 1).await;
    assert!(
        !engine.store.purge(id).await.unwrap(),
        "only dead letters can be purged"
    );
    assert_eq!(state(&engine, id).await, JobState::Retrying);
    assert_eq!(lease_one(&engine).await.job.id, id);
}

/// apalis-redis: its metrics queries fail.
async fn stats_count_every_state(engine: Engine) {
    let stats = engine.store.stats().await.unwrap();
    assert_eq!(stats.len(), 2, "includes queues without any job");
    let jobs = (0..6).map(probe).collect();
    engine.store.enqueue(jobs).await.unwrap();
    enqueue(&engine, probe(9).delayed(LONG)).await;
    let mut leased = lease(&engine, 3, LONG).await;
    while leased.len() < 3 {
        leased.extend(lease(&engine, 3 - leased.len(), LONG).await);
    }
    let mut leased = leased.into_iter();
    settle(
        &engine,
        leased.next().unwrap(),
        Settle::Dead(Failure::new("X", "x")),
    )
    .await;
    settle(&engine, leased.next().unwrap(), success("1")).await;
    tokio::time::sleep(Duration::from_millis(30)).await;

    let stats = engine.store.stats().await.unwrap().remove(0);
    assert_eq!(stats.queue, QUEUE);
    assert_eq!(
        (stats.ready, stats.running, stats.scheduled, stats.dead),
        (3, 1, 1, 1)
    );
    assert!(
        (20..5_000).contains(&stats.oldest_ready_ms),
        "{}",
        stats.oldest_ready_ms
    );
}

async fn lists_are_paged_without_gaps_or_duplicates(engine: Engine) {
    let jobs: Vec<NewJob> = (0..25).map(probe).collect();
    let all: HashSet<JobId> = jobs.iter().map(|job| job.id).collect();
    engine.store.enqueue(jobs).await.unwrap();
    let mut seen = HashSet::new();
    let mut filter = JobFilter {
        queue: None,
        state: JobState::Queued,
        cursor: None,
        limit: 10,
    };
    for _ in 0..4 {
        let page = engine.store.list(&filter).await.unwrap();
        assert!(page.jobs.len() <= 10);
        for job in page.jobs {
            assert!(seen.insert(job.id), "a job is listed once");
        }
        filter.cursor = page.next;
        if filter.cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, all);
    filter.cursor = None;
    for state in [
        JobState::Running,
        JobState::Retrying,
        JobState::Dead,
        JobState::Succeeded,
    ] {
        filter.state = state;
        assert!(
            engine.store.list(&filter).await.unwrap().jobs.is_empty(),
            "{state:?}"
        );
    }
}

async fn settling_a_batch_returns_results_in_order(engine: Engine) {
    engine
        .store
        .enqueue((0..250).map(probe).collect())
        .await
        .unwrap();
    let mut leased = Vec::new();
    while leased.len() < 250 {
        leased.extend(lease(&engine, 250 - leased.len(), LONG).await);
    }
    // Every third lease is lost beforehand.
    for job in leased.iter().step_by(3) {
        settle(&engine, job.clone(), success("0")).await;
    }
    let batch: Vec<_> = leased
        .into_iter()
        .map(|leased| Settlement {
            leased,
            settle: success("1"),
        })
        .collect();
    let results = engine.store.settle(&batch).await.unwrap();
    for (index, settled) in results.iter().enumerate() {
        let expected = if index % 3 == 0 {
            Settled::LeaseLost
        } else {
            Settled::Done
        };
        assert_eq!(*settled, expected, "{index}");
    }
}

async fn settling_again_after_a_lost_response_is_idempotent(engine: Engine) {
    let id = enqueue(&engine, probe(1)).await;
    let leased = lease_one(&engine).await;
    settle(&engine, leased.clone(), retry_at_once()).await;
    settle(&engine, leased, retry_at_once()).await;
    assert_eq!(lease(&engine, 10, LONG).await.len(), 1);
    assert_eq!(engine.store.get(id).await.unwrap().unwrap().attempts, 2);
}

async fn unknown_job_is_none(engine: Engine) {
    let id = JobId::generate();
    assert!(engine.store.get(id).await.unwrap().is_none());
    assert!(engine.store.outcome(id, LONG).await.unwrap().is_none());
    assert!(!engine.store.replay(id).await.unwrap());
    assert!(!engine.store.purge(id).await.unwrap());
}

async fn consumers_are_listed_until_they_are_retired(engine: Engine) {
    assert_eq!(engine.store.consumers().await.unwrap(), vec![]);
    // Redis before 7.2 creates a consumer only when it delivers an entry.
    for worker in ["worker-1", "worker-2"] {
        enqueue(&engine, probe(1)).await;
        let leased = lease_as(&engine, worker, 1, LONG).await.remove(0);
        settle(&engine, leased, success("1")).await;
    }
    let names = |consumers: Vec<avalon_queue::Consumer>| {
        assert!(
            consumers
                .iter()
                .all(|it| it.queue == QUEUE && it.silent < LONG)
        );
        consumers
            .into_iter()
            .map(|it| it.name)
            .collect::<HashSet<_>>()
    };
    let both = names(engine.store.consumers().await.unwrap());
    assert_eq!(both, HashSet::from(["worker-1".into(), "worker-2".into()]));
    for lane in engine.store.lanes(&QUEUE) {
        engine.store.retire(&lane, "worker-1").await.unwrap();
    }
    let rest = names(engine.store.consumers().await.unwrap());
    assert_eq!(rest, HashSet::from(["worker-2".into()]));
}

/// A job that JSON cannot represent: its map has keys that are not strings.
#[derive(serde::Serialize, serde::Deserialize)]
struct Unserialisable(std::collections::BTreeMap<(u8, u8), u8>);

impl Job for Unserialisable {
    const QUEUE: QueueName = QUEUE;
    const KIND: &'static str = "unserialisable";
    const RETRY: RetryPolicy = RetryPolicy::NEVER;
    const TIME_LIMIT: Duration = SHORT;
    type Output = ();
}

async fn unserialisable_job_is_not_stored(engine: Engine) {
    let defective = NewJob::from_job(&Unserialisable([((1, 2), 3)].into()));
    let id = defective.id;
    let refused = engine.store.enqueue(vec![defective]).await;
    assert!(
        matches!(refused, Err(StoreError::Unexpected(_))),
        "not worth a retry: {refused:?}"
    );
    assert!(engine.store.get(id).await.unwrap().is_none());
    assert!(lease(&engine, 1, SHORT).await.is_empty());
}
