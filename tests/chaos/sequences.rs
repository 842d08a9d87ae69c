//! The runs: a fixed one in the suite, long ones by `scripts/chaos`, and shrunk sequences that once failed.

use std::time::Duration;

use crate::run::{Outcome, run};
use crate::schedule::Sequence;
use crate::shrink::{as_test, shrink};

/// Duration of the load in the suite, in s.
const SUITE_SECONDS: u64 = 180;
/// Seed of the suite's run.
const SUITE_SEED: u64 = 1;

/// Runs a sequence that is given as text; nothing may be lost or doubled.
async fn run_sequence(text: &str) {
    let sequence: Sequence = text.parse().expect("a sequence");
    let outcome = Box::pin(run(&sequence)).await;
    assert_eq!(outcome.violations, Vec::<String>::new());
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn number(name: &str) -> Option<u64> {
    variable(name).map(|value| value.parse().unwrap_or_else(|_| panic!("{name}: {value}")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn minutes_of_random_faults_lose_and_double_nothing() {
    let sequence = Sequence::random(SUITE_SEED, SUITE_SECONDS * 1000, &[]);
    let outcome = Box::pin(run(&sequence)).await;
    assert_eq!(outcome.violations, Vec::<String>::new());
}

// Once reported: jobs that were accepted right before Redis was emptied are gone, which is no defect.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn emptied_redis_while_postgres_is_down_loses_only_the_queue() {
    run_sequence(
        "seed 2 for 9000
         at 2000 for 4000: restart postgres
         at 4200 for 1: flush",
    )
    .await;
}

// Once reported: the process ended without a word in its log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn process_that_is_stopped_while_it_starts_stops_gracefully() {
    run_sequence(
        "seed 3 for 11000
         at 2000 for 6000: restart postgres
         at 2500 for 500: kill api-1
         at 5000 for 1000: stop api-1",
    )
    .await;
}

// Once, the shutdown took a minute: a connection that was cut off before its first message holds it up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_is_restarted_while_a_connection_is_blackholed() {
    run_sequence(
        "seed 13 for 15000
         at 2000 for 9000: network api-0/postgres blackhole
         at 6000 for 1000: restart postgres",
    )
    .await;
}

/// `scripts/chaos`: a run of any length from any seed, which is shrunk when it fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by scripts/chaos"]
async fn chaos() {
    let seed = number("CHAOS_SEED").unwrap_or(SUITE_SEED);
    let seconds = number("CHAOS_SECONDS").unwrap_or(SUITE_SECONDS);
    let only = variable("CHAOS_ONLY").unwrap_or_default();
    let only: Vec<String> = only
        .split(',')
        .map(|it| it.trim().to_owned())
        .filter(|it| !it.is_empty())
        .collect();
    let sequence = match (variable("CHAOS_SEQUENCE"), variable("CHAOS_SINGLE")) {
        (Some(file), _) => {
            let text = std::fs::read_to_string(&file).expect("the file of a sequence");
            text.parse().expect("a sequence")
        }
        (None, Some(_)) => Sequence::single(seed, &only),
        (None, None) => Sequence::random(seed, seconds * 1000, &only),
    };
    let outcome = Box::pin(run(&sequence)).await;
    report(&outcome);
    if outcome.violations.is_empty() {
        return;
    }
    let budget = Duration::from_secs(60 * number("CHAOS_SHRINK_MINUTES").unwrap_or(0));
    if !budget.is_zero() {
        let fails = async |candidate: &Sequence| {
            let outcome = Box::pin(run(candidate)).await;
            !outcome.violations.is_empty()
        };
        let (short, runs) = Box::pin(shrink(&sequence, budget, fails)).await;
        println!("shrunk in {runs} runs:\n\n{}\n", as_test(&short));
    }
    panic!("{} violations", outcome.violations.len());
}

/// Prints the recovery times, and what players saw during each fault.
fn report(outcome: &Outcome) {
    let mut recoveries = outcome.recoveries.clone();
    recoveries.sort_by(|a, b| a.fault.cmp(&b.fault));
    println!("\n| fault | sign-in | order | paid |\n|---|---|---|---|");
    for it in recoveries {
        println!(
            "| {} | {:.1?} | {:.1?} | {:.1?} |",
            it.fault, it.sign_in, it.order, it.paid
        );
    }
    println!();
    for (fault, seen) in &outcome.seen {
        println!("{fault}: {seen}");
    }
}
