//! Reduces a failing sequence to a short one that still fails: steps are left out (delta debugging), then what is left
//! is shortened.

use std::time::{Duration, Instant};

use crate::schedule::{Sequence, Step};

/// Time of the load after the last fault, in ms.
const TAIL: u64 = 3000;
/// Shortest duration of a fault that is tried, in ms.
const SHORTEST: u64 = 250;

/// Returns the shortest sequence that was found to fail within the budget, and the number of runs.
pub(crate) async fn shrink(
    failing: &Sequence,
    budget: Duration,
    mut fails: impl AsyncFnMut(&Sequence) -> bool,
) -> (Sequence, usize) {
    let mut runs = 0;
    let deadline = Instant::now() + budget;
    let mut try_it = async |candidate: &Sequence| {
        runs += 1;
        fails(candidate).await
    };
    let mut best = failing.clone();
    // Halves, quarters … of the steps are left out.
    let mut parts = 2;
    'parts: while best.steps.len() > 1 && Instant::now() < deadline {
        let size = best.steps.len().div_ceil(parts);
        for start in (0..best.steps.len()).step_by(size) {
            let mut steps = best.steps.clone();
            steps.drain(start..(start + size).min(steps.len()));
            let candidate = trimmed(&best, steps);
            if Instant::now() < deadline && try_it(&candidate).await {
                best = candidate;
                parts = parts.saturating_sub(1).max(2);
                continue 'parts;
            }
        }
        if size == 1 {
            break;
        }
        parts = (parts * 2).min(best.steps.len());
    }
    // Each fault is shortened, and begins earlier.
    for index in 0..best.steps.len() {
        while Instant::now() < deadline && best.steps[index].lasts >= 2 * SHORTEST {
            let mut steps = best.steps.clone();
            steps[index].lasts /= 2;
            let candidate = trimmed(&best, steps);
            if !try_it(&candidate).await {
                break;
            }
            best = candidate;
        }
    }
    (best, runs)
}

/// A sequence of these steps that begins soon and ends soon after the last one.
fn trimmed(of: &Sequence, mut steps: Vec<Step>) -> Sequence {
    let first = steps.iter().map(|step| step.at).min().unwrap_or(0);
    let early = first.saturating_sub(TAIL);
    for step in &mut steps {
        step.at -= early;
    }
    let end = steps.iter().map(|step| step.at + step.lasts).max();
    Sequence {
        seed: of.seed,
        lasts: end.unwrap_or(0) + TAIL,
        steps,
    }
}

/// The sequence as a test to paste into `sequences.rs`.
pub(crate) fn as_test(sequence: &Sequence) -> String {
    let text = sequence.to_string().replace('\n', "\n         ");
    format!(
        "#[tokio::test(flavor = \"multi_thread\", worker_threads = 2)]\nasync fn name_the_fact() {{\n    \
         run_sequence(\n        \"{text}\",\n    )\n    .await;\n}}"
    )
}

#[tokio::test]
async fn failing_sequence_shrinks_to_the_steps_that_fail_it() {
    let long = Sequence::random(5, 300_000, &[]);
    let culprits = [&long.steps[3], &long.steps[17]].map(|step| step.fault.clone());
    let fails = async |sequence: &Sequence| {
        culprits
            .iter()
            .all(|culprit| sequence.steps.iter().any(|step| step.fault == *culprit))
    };
    let (short, runs) = shrink(&long, Duration::from_secs(60), fails).await;
    let left: Vec<_> = short.steps.iter().map(|step| step.fault.clone()).collect();
    assert_eq!(left, culprits);
    assert!(runs < 200, "{runs}");
    assert!(short.steps.iter().all(|step| step.lasts < 2 * SHORTEST));
    let test = as_test(&short);
    let text = test.split('"').nth(3).expect("the sequence");
    assert_eq!(text.parse(), Ok(short));
}
