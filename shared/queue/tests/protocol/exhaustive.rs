//! Every state that two workers can bring two jobs into, with crashes, expired leases and lost replies in any
//! order. The properties are those of `docs/design/queue.md`.

use stateright::{Checker, Model, Property};

use super::jobs::{Jobs, Lease, Limits, Outcome, Place};

const LIMITS: Limits = Limits {
    attempts: 2,
    lost_leases: 2,
};

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    Enqueue(usize),
    Lease {
        worker: usize,
        job: usize,
    },
    /// The store leases the job, and the reply is lost.
    LeaseUnread {
        worker: usize,
        job: usize,
    },
    /// The worker connects again and reads what was delivered to it.
    ReadAgain(usize),
    Finish(usize, Outcome),
    Settle(usize),
    /// The store settles the job, the reply is lost, and the worker will settle again.
    SettleUnread(usize),
    Crash(usize),
    /// The lease expires although its worker may be alive.
    Expire(usize),
    Promote(usize),
    Replay(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Worker {
    Idle,
    /// Has a lease that it does not know of.
    Unread(Lease),
    Running(Lease),
    Settling(Lease, Outcome),
}

/// Events that may still happen; bounds the number of states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Budget {
    crashes: u8,
    lost_replies: u8,
    hand_backs: u8,
    replays: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    jobs: Jobs,
    workers: [Worker; 2],
    budget: Budget,
}

impl State {
    /// The same state with the workers in a fixed order, and with the deliveries that still matter numbered
    /// from 1: what differs only in these behaves alike.
    fn canonical(mut self) -> Self {
        for (number, job) in self.jobs.all.iter_mut().enumerate() {
            let Some(job) = job else { continue };
            let mut leases: Vec<&mut u8> = (self.workers.iter_mut())
                .filter_map(Worker::lease)
                .filter(|lease| lease.job == number)
                .map(|lease| &mut lease.delivery)
                .collect();
            if let Place::Leased(delivery) = &mut job.place {
                leases.push(delivery);
            }
            let mut known: Vec<u8> = leases.iter().map(|delivery| **delivery).collect();
            known.sort_unstable();
            known.dedup();
            for delivery in leases {
                let rank = known.partition_point(|other| *other < *delivery);
                *delivery = u8::try_from(rank + 1).unwrap_or(u8::MAX);
            }
            job.deliveries = u8::try_from(known.len()).unwrap_or(u8::MAX);
        }
        self.workers.sort_unstable();
        self
    }
}

impl Worker {
    fn lease(&mut self) -> Option<&mut Lease> {
        match self {
            Self::Idle => None,
            Self::Unread(lease) | Self::Running(lease) | Self::Settling(lease, _) => Some(lease),
        }
    }
}

struct Protocol {
    keys: Vec<Option<usize>>,
    budget: Budget,
    /// Whether a settlement requires the current lease.
    fenced: bool,
}

impl Protocol {
    fn settle(&self, jobs: &mut Jobs, lease: Lease, outcome: Outcome) {
        if self.fenced {
            jobs.settle(lease, outcome);
        } else {
            jobs.settle_unfenced(lease.job, outcome);
        }
    }

    fn steps_of(worker: usize, state: &State, steps: &mut Vec<Step>) {
        let budget = state.budget;
        match state.workers[worker] {
            Worker::Idle => {
                for job in state.jobs.at(Place::Ready) {
                    steps.push(Step::Lease { worker, job });
                    if budget.lost_replies > 0 {
                        steps.push(Step::LeaseUnread { worker, job });
                    }
                }
                return;
            }
            Worker::Unread(_) => steps.push(Step::ReadAgain(worker)),
            Worker::Running(lease) => {
                steps.push(Step::Finish(worker, Outcome::Succeeded));
                steps.push(Step::Finish(worker, Outcome::Rejected));
                let job = state.jobs.all[lease.job].as_ref();
                let last = job.is_some_and(|job| job.attempts + 1 >= LIMITS.attempts);
                let failed = if last { Outcome::Dead } else { Outcome::Retry };
                steps.push(Step::Finish(worker, failed));
                if budget.hand_backs > 0 {
                    steps.push(Step::Finish(worker, Outcome::HandBack));
                }
            }
            Worker::Settling(..) => {
                steps.push(Step::Settle(worker));
                if budget.lost_replies > 0 {
                    steps.push(Step::SettleUnread(worker));
                }
            }
        }
        if budget.crashes > 0 {
            steps.push(Step::Crash(worker));
        }
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            jobs: Jobs::with_keys(self.keys.clone()),
            workers: [Worker::Idle; 2],
            budget: self.budget,
        }]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        for (number, job) in state.jobs.all.iter().enumerate() {
            match job.as_ref().map(|job| job.place) {
                None => {
                    // Without effect while another job has the key.
                    if state.jobs.clone().enqueue(number) == number {
                        steps.push(Step::Enqueue(number));
                    }
                }
                Some(Place::Leased(_)) => steps.push(Step::Expire(number)),
                Some(Place::Delayed) => steps.push(Step::Promote(number)),
                Some(Place::Dead) if state.budget.replays > 0 => steps.push(Step::Replay(number)),
                Some(_) => {}
            }
        }
        for worker in 0..state.workers.len() {
            Self::steps_of(worker, state, steps);
        }
    }

    fn next_state(&self, last: &State, step: Step) -> Option<State> {
        let mut state = last.clone();
        let State {
            jobs,
            workers,
            budget,
        } = &mut state;
        match step {
            Step::Enqueue(job) => {
                jobs.enqueue(job);
            }
            Step::Lease { worker, job } => workers[worker] = Worker::Running(jobs.lease(job)?),
            Step::LeaseUnread { worker, job } => {
                budget.lost_replies -= 1;
                workers[worker] = Worker::Unread(jobs.lease(job)?);
            }
            Step::ReadAgain(worker) => {
                let Worker::Unread(lease) = workers[worker] else {
                    return None;
                };
                // Only what is still pending for this worker is read.
                let place = jobs.all[lease.job].as_ref().map(|job| job.place);
                let pending = place == Some(Place::Leased(lease.delivery));
                workers[worker] = if pending {
                    Worker::Running(lease)
                } else {
                    Worker::Idle
                };
            }
            Step::Finish(worker, outcome) => {
                let Worker::Running(lease) = workers[worker] else {
                    return None;
                };
                if outcome == Outcome::HandBack {
                    budget.hand_backs -= 1;
                }
                workers[worker] = Worker::Settling(lease, outcome);
            }
            Step::Settle(worker) | Step::SettleUnread(worker) => {
                let Worker::Settling(lease, outcome) = workers[worker] else {
                    return None;
                };
                self.settle(jobs, lease, outcome);
                if matches!(step, Step::Settle(_)) {
                    workers[worker] = Worker::Idle;
                } else {
                    budget.lost_replies -= 1;
                }
            }
            Step::Crash(worker) => {
                budget.crashes -= 1;
                workers[worker] = Worker::Idle;
            }
            Step::Expire(job) => {
                jobs.expire(job, LIMITS);
            }
            Step::Promote(job) => {
                jobs.promote(job);
            }
            Step::Replay(job) => {
                budget.replays -= 1;
                jobs.replay(job);
            }
        }
        Some(state.canonical())
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("a job ends at most once", |_, state: &State| {
                state.jobs.all.iter().flatten().all(|job| job.ends <= 1)
            }),
            Property::always("a job that ended stays ended", |_, state: &State| {
                let jobs = state.jobs.all.iter().flatten();
                jobs.into_iter()
                    .all(|job| job.ends == 0 || job.place.is_final())
            }),
            Property::always("one worker at most can settle a job", |_, state: &State| {
                (0..state.jobs.all.len()).all(|job| able_to_settle(state, job) <= 1)
            }),
            Property::always(
                "attempts and lost leases are bounded",
                |_, state: &State| {
                    let bounded =
                        |attempts, lost| attempts <= LIMITS.attempts && lost <= LIMITS.lost_leases;
                    let mut jobs = state.jobs.all.iter().flatten();
                    jobs.all(|job| bounded(job.attempts, job.lost_leases))
                },
            ),
            // An operator may replay a dead letter although another job has its key by now.
            Property::always(
                "a job of a key is in flight at most once",
                |model: &Protocol, state: &State| {
                    in_flight_of_key(state, 0) <= 1 || state.budget.replays < model.budget.replays
                },
            ),
            Property::always(
                "what cannot go on has ended",
                |model: &Protocol, state: &State| {
                    let mut steps = Vec::new();
                    model.actions(state, &mut steps);
                    let mut jobs = state.jobs.all.iter().flatten();
                    !steps.is_empty() || jobs.all(|job| job.place.is_final())
                },
            ),
            Property::sometimes("a job survives a lost lease", |_, state: &State| {
                let mut jobs = state.jobs.all.iter().flatten();
                jobs.any(|job| job.place == Place::Succeeded && job.lost_leases > 0)
            }),
            Property::sometimes(
                "a job is dead-lettered for its lost leases",
                |_, state: &State| {
                    let mut jobs = state.jobs.all.iter().flatten();
                    jobs.any(|job| {
                        job.place == Place::Dead && job.lost_leases == LIMITS.lost_leases
                    })
                },
            ),
            Property::sometimes(
                "a worker holds a lease that it has lost",
                |_, state: &State| state.workers.iter().any(|worker| stale(state, *worker)),
            ),
        ]
    }
}

/// Number of workers whose lease on the job is the current one.
fn able_to_settle(state: &State, job: usize) -> usize {
    let current = state.jobs.all[job].as_ref().map(|job| job.place);
    let holds = |worker: &&Worker| match worker {
        Worker::Idle => false,
        Worker::Unread(lease) | Worker::Running(lease) | Worker::Settling(lease, _) => {
            lease.job == job && current == Some(Place::Leased(lease.delivery))
        }
    };
    state.workers.iter().filter(holds).count()
}

fn stale(state: &State, worker: Worker) -> bool {
    match worker {
        Worker::Running(lease) | Worker::Settling(lease, _) => {
            let job = state.jobs.all[lease.job].as_ref();
            job.is_some_and(|job| job.place != Place::Leased(lease.delivery))
        }
        Worker::Idle | Worker::Unread(_) => false,
    }
}

fn in_flight_of_key(state: &State, key: usize) -> usize {
    let jobs = state.jobs.all.iter().zip(&state.jobs.keys);
    let in_flight = jobs.filter(|(job, of)| {
        **of == Some(key) && job.as_ref().is_some_and(|job| !job.place.is_final())
    });
    in_flight.count()
}

/// What happens without an operator, and what one does.
const BUDGETS: [Budget; 2] = [
    Budget {
        crashes: 1,
        lost_replies: 1,
        hand_backs: 0,
        replays: 0,
    },
    Budget {
        crashes: 0,
        lost_replies: 0,
        hand_backs: 1,
        replays: 1,
    },
];

#[test]
fn no_order_of_crashes_and_lost_replies_breaks_the_protocol() {
    for budget in BUDGETS {
        for keys in [vec![None, None], vec![Some(0), Some(0)]] {
            let protocol = Protocol {
                keys,
                budget,
                fenced: true,
            };
            let checked = protocol.checker().threads(2).spawn_bfs().join();
            println!("{} states", checked.unique_state_count());
            checked.assert_properties();
        }
    }
}

#[test]
fn settlements_without_a_fence_are_found() {
    let protocol = Protocol {
        keys: vec![None, None],
        budget: BUDGETS[0],
        fenced: false,
    };
    let checked = protocol.checker().threads(2).spawn_bfs().join();
    checked.assert_any_discovery("a job that ended stays ended");
}
