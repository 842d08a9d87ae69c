//! The engines do what the protocol says: random sequences of steps, with settlements that are repeated, leases
//! that are lost and workers that forget theirs, are executed by an engine and by the protocol, and the states of
//! all jobs are compared after each step.

use std::time::{Duration, Instant};

use avalon_queue::store::ReclaimPolicy;
use avalon_queue::{
    Failure, IdempotencyKey, JobId, JobState, Leased, NewJob, Settle, Settled, Settlement,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::value::RawValue;

use super::jobs::{Jobs, Lease, Limits, Outcome, Place};
use crate::engines::{Engine, Probe, QUEUE};

const JOBS: usize = 5;
const WORKERS: usize = 2;
const LIMITS: Limits = Limits {
    attempts: 3,
    lost_leases: 2,
};
/// Long enough for a promoter, which is woken at once.
const WAIT: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug)]
enum Step {
    Enqueue(usize),
    Lease(usize),
    Settle(usize, Outcome),
    /// Repeats the worker's last settlement, whose reply was lost.
    SettleAgain(usize),
    Crash(usize),
    /// All leases expire.
    Reclaim,
    Replay(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let outcome = prop::sample::select(vec![
        Outcome::Succeeded,
        Outcome::Rejected,
        Outcome::Retry,
        Outcome::Retry,
        Outcome::Dead,
        Outcome::HandBack,
    ]);
    prop_oneof![
        4 => (0..JOBS).prop_map(Step::Enqueue),
        5 => (0..WORKERS).prop_map(Step::Lease),
        5 => (0..WORKERS, outcome).prop_map(|(worker, outcome)| Step::Settle(worker, outcome)),
        1 => (0..WORKERS).prop_map(Step::SettleAgain),
        1 => (0..WORKERS).prop_map(Step::Crash),
        1 => Just(Step::Reclaim),
        1 => (0..JOBS).prop_map(Step::Replay),
    ]
}

/// What a worker knows.
#[derive(Default)]
struct Worker {
    held: Option<(Leased, Lease)>,
    last: Option<(Settlement, Lease, Outcome)>,
}

/// An engine beside the protocol.
struct Scene {
    engine: Engine,
    jobs: Jobs,
    envelopes: Vec<NewJob>,
    workers: [Worker; WORKERS],
}

impl Scene {
    fn new(engine: Engine) -> Self {
        // Jobs 1 and 2 share a key, 3 and 4 another.
        let keys: Vec<Option<usize>> = (0..JOBS).map(|n| n.checked_sub(1).map(|n| n / 2)).collect();
        let envelope = |(n, key): (usize, &Option<usize>)| {
            let job = NewJob::from_job(&Probe { n: n as u64 });
            match key {
                None => job,
                Some(key) => {
                    let key = format!("key-{key}");
                    job.once_per(IdempotencyKey::new(key, Duration::from_secs(60)))
                }
            }
        };
        Self {
            engine,
            envelopes: keys.iter().enumerate().map(envelope).collect(),
            jobs: Jobs::with_keys(keys),
            workers: Default::default(),
        }
    }

    fn number(&self, id: JobId) -> usize {
        let found = self.envelopes.iter().position(|job| job.id == id);
        found.expect("a job of the test")
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Enqueue(job) => {
                let envelope = self.envelopes[job].clone();
                let enqueued = self.engine.store.enqueue(vec![envelope]).await.unwrap();
                let expected = self.jobs.enqueue(job);
                assert_eq!(self.number(enqueued[0].id()), expected);
            }
            Step::Lease(worker) if self.workers[worker].held.is_none() => self.lease(worker).await,
            Step::Settle(worker, outcome) => {
                if let Some((leased, lease)) = self.workers[worker].held.take() {
                    let settle = settle(outcome);
                    self.settle(worker, Settlement { leased, settle }, lease, outcome)
                        .await;
                }
            }
            Step::SettleAgain(worker) => {
                if let Some((settlement, lease, outcome)) = self.workers[worker].last.take() {
                    self.settle(worker, settlement, lease, outcome).await;
                }
            }
            Step::Crash(worker) => self.workers[worker] = Worker::default(),
            Step::Reclaim => self.reclaim().await,
            Step::Replay(job) => {
                let id = self.envelopes[job].id;
                let replayed = self.engine.store.replay(id).await.unwrap();
                assert_eq!(replayed, self.jobs.replay(job));
            }
            Step::Lease(_) => {}
        }
        // What is retried is due at once.
        for job in 0..JOBS {
            self.jobs.promote(job);
        }
        self.compare(step).await;
    }

    /// The engine chooses among the jobs that are ready.
    async fn lease(&mut self, worker: usize) {
        let any = self.jobs.at(Place::Ready).next().is_some();
        let [lane] = &self.engine.store.lanes(&QUEUE)[..] else {
            panic!("one lane");
        };
        let consumer = format!("worker-{worker}");
        let begun = Instant::now();
        let leased = loop {
            let wait = if any { WAIT } else { Duration::from_millis(1) };
            let leased = self.engine.store.lease(lane, &consumer, 1, wait);
            let leased = leased.await.unwrap().pop();
            // The first lease of a lane may return early.
            if leased.is_some() || !any || begun.elapsed() > WAIT {
                break leased;
            }
        };
        assert_eq!(leased.is_some(), any, "a job is leased if one is ready");
        let Some(leased) = leased else { return };
        let job = self.number(leased.job.id);
        let lease = self.jobs.lease(job).expect("the job is ready");
        let attempts = self.jobs.all[job].as_ref().map(|job| job.attempts);
        assert_eq!(
            Some(leased.attempt),
            attempts.map(|used| u32::from(used) + 1)
        );
        self.workers[worker].held = Some((leased, lease));
    }

    async fn settle(
        &mut self,
        worker: usize,
        settlement: Settlement,
        lease: Lease,
        outcome: Outcome,
    ) {
        let settled = self.engine.store.settle(std::slice::from_ref(&settlement));
        let settled = settled.await.unwrap();
        let expected = if self.jobs.settle(lease, outcome) {
            Settled::Done
        } else {
            Settled::LeaseLost
        };
        assert_eq!(settled, [expected]);
        self.workers[worker].last = Some((settlement, lease, outcome));
    }

    async fn reclaim(&mut self) {
        let policy = ReclaimPolicy {
            lease_timeout: Duration::ZERO,
            max_lost_leases: u32::from(LIMITS.lost_leases),
        };
        for lane in self.engine.store.lanes(&QUEUE) {
            self.engine.store.reclaim(&lane, &policy).await.unwrap();
        }
        for job in 0..JOBS {
            self.jobs.expire(job, LIMITS);
        }
    }

    async fn compare(&self, step: Step) {
        let mut ended = 0;
        for (job, envelope) in self.jobs.all.iter().zip(&self.envelopes) {
            let view = self.engine.store.get(envelope.id).await.unwrap();
            let expected = job.as_ref().map(|job| match job.place {
                Place::Ready | Place::Delayed if job.attempts == 0 => JobState::Queued,
                Place::Ready | Place::Delayed => JobState::Retrying,
                Place::Leased(_) => JobState::Running,
                Place::Succeeded => JobState::Succeeded,
                Place::Rejected => JobState::Rejected,
                Place::Dead => JobState::Dead,
            });
            assert_eq!(view.map(|view| view.state), expected, "after {step:?}");
            ended += u64::from(matches!(
                expected,
                Some(JobState::Succeeded | JobState::Rejected)
            ));
        }
        // Each job is in exactly one place.
        let stats = self.engine.store.stats().await.unwrap();
        let stats = stats.iter().find(|stats| stats.queue == QUEUE).unwrap();
        let counted = stats.ready + stats.running + stats.scheduled + stats.dead + ended;
        assert_eq!(
            counted,
            self.jobs.all.iter().flatten().count() as u64,
            "after {step:?}"
        );
    }
}

fn settle(outcome: Outcome) -> Settle {
    let failure = Failure::new("TEST", "on purpose");
    match outcome {
        Outcome::Succeeded => Settle::Succeeded(RawValue::from_string("1".to_owned()).unwrap()),
        Outcome::Rejected => Settle::Rejected(failure),
        Outcome::Retry => Settle::Retry {
            after: Duration::ZERO,
            failure,
        },
        Outcome::Dead => Settle::Dead(failure),
        Outcome::HandBack => Settle::HandBack,
    }
}

/// Executes random sequences, each on an engine of its own.
fn follows<F: Future<Output = Engine>>(engine: impl Fn() -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let config = Config {
        cases: 60,
        failure_persistence: None,
        ..Config::default()
    };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let sequences = prop::collection::vec(step(), 1..50);
    let result = TestRunner::new_with_rng(config, rng).run(&sequences, |steps| {
        runtime.block_on(async {
            let mut scene = Scene::new(engine().await);
            for step in steps {
                scene.take(step).await;
            }
        });
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

#[test]
fn redis_follows_the_protocol() {
    follows(crate::engines::redis);
}

#[test]
fn sqlite_follows_the_protocol() {
    follows(crate::engines::sqlite);
}
