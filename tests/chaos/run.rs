//! Runs a sequence: applies and heals its faults under load, then drains and checks.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::faults::Fault;
use crate::journal::Journal;
use crate::load::Load;
use crate::recovery::{Recoveries, Recovery, answers};
use crate::schedule::Sequence;
use crate::world::World;
use crate::{checker, drain};

/// Interval in which ended processes are started again.
const SUPERVISION: Duration = Duration::from_millis(100);
/// Time in which players must be answered after the faults.
const ANSWERS: Duration = Duration::from_secs(90);

/// Violations that are printed.
const MAX_PRINTED: usize = 30;

/// The result of a run.
pub(crate) struct Outcome {
    pub(crate) violations: Vec<String>,
    pub(crate) recoveries: Vec<Recovery>,
    /// What players saw during each fault.
    pub(crate) seen: Vec<(Fault, String)>,
}

/// Something that happens at a time, in ms.
struct Moment<'a> {
    at: u64,
    begins: bool,
    fault: &'a Fault,
}

/// Runs a sequence.
pub(crate) async fn run(sequence: &Sequence) -> Outcome {
    println!("{sequence}");
    let mut world = Box::pin(World::start(sequence)).await;
    let journal = Arc::new(Journal::default());
    let load = Load::start(&world, &journal, sequence.seed).await;
    let mut recoveries = Recoveries::default();
    let periods = Box::pin(disturb(&mut world, sequence, &journal, &mut recoveries)).await;
    world.ready().await;
    load.finish(ANSWERS).await;
    let recoveries = recoveries.finish().await;

    let mut violations = drain::drain(&world).await;
    violations.extend(checker::check(&world, &journal).await);
    let mut entries = journal.entries();
    violations.append(&mut entries.violations);
    println!(
        "{} requests, {} followed jobs, {} violations",
        entries.seen.len(),
        entries.ended_jobs,
        violations.len()
    );
    for violation in violations.iter().take(MAX_PRINTED) {
        println!("VIOLATION: {violation}");
    }
    let seen = periods.into_iter().map(|(fault, from, to)| {
        let text = answers(&entries.seen, from, to);
        (fault, text)
    });
    Outcome {
        violations,
        recoveries,
        seen: seen.collect(),
    }
}

/// Applies and heals the faults; returns when each was active.
async fn disturb(
    world: &mut World,
    sequence: &Sequence,
    journal: &Arc<Journal>,
    recoveries: &mut Recoveries,
) -> Vec<(Fault, Instant, Instant)> {
    let mut moments = Vec::new();
    for step in &sequence.steps {
        for (at, begins) in [(step.at, true), (step.at + step.lasts, false)] {
            let fault = &step.fault;
            moments.push(Moment { at, begins, fault });
        }
    }
    moments.sort_by_key(|moment| (moment.at, moment.begins));
    let started = Instant::now();
    let mut active: Vec<(&Fault, Instant)> = Vec::new();
    let mut periods = Vec::new();
    for moment in moments {
        wait(world, started, moment.at).await;
        let (time, fault) = (started.elapsed(), moment.fault);
        if moment.begins {
            println!("{:6.1}s {fault}", time.as_secs_f64());
            recoveries.begun.fetch_add(1, Ordering::SeqCst);
            active.push((fault, Instant::now()));
            world.apply(fault, journal).await;
        } else {
            world.heal(fault).await;
            println!("{:6.1}s healed: {fault}", time.as_secs_f64());
            if let Some(index) = active.iter().position(|(it, _)| *it == fault) {
                let (fault, since) = active.swap_remove(index);
                periods.push((fault.clone(), since, Instant::now()));
            }
            if active.is_empty() {
                recoveries.measure(world, journal, fault);
            }
        }
    }
    wait(world, started, sequence.lasts).await;
    periods
}

/// Waits until this time of the run, in ms.
async fn wait(world: &mut World, started: Instant, until: u64) {
    let until = started + Duration::from_millis(until);
    while Instant::now() < until {
        world.supervise();
        let left = until.saturating_duration_since(Instant::now());
        sleep(left.min(SUPERVISION)).await;
    }
}
