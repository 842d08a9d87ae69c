//! Sequences of faults: drawn from a seed, written as text and read again.

use std::fmt;
use std::str::FromStr;

use fastrand::Rng;

use crate::faults::Fault;
use crate::parties::Process;

/// Time before the first fault, in ms: players sign in.
const FIRST: u64 = 2000;
/// Faults that are active at once, at most.
const MAX_ACTIVE: usize = 3;
/// Pause after a fault in a sequence of single ones, in ms: longer than the recovery takes.
const PAUSE: u64 = 8000;
/// The same after WeChat's rate limit, whose quota is one of a minute.
const QUOTA: u64 = 65_000;

/// A fault with its time, in ms since the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) at: u64,
    pub(crate) lasts: u64,
    pub(crate) fault: Fault,
}

/// Faults under a load, which both follow from what is written here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sequence {
    /// Seeds the players' decisions.
    pub(crate) seed: u64,
    /// Duration of the load, in ms.
    pub(crate) lasts: u64,
    pub(crate) steps: Vec<Step>,
}

impl Sequence {
    /// Draws faults, some at once, from those whose text begins with one of `only`; without any, from all.
    pub(crate) fn random(seed: u64, lasts: u64, only: &[String]) -> Self {
        let mut rng = Rng::with_seed(seed);
        let faults = selected(only);
        let kinds = kinds(&faults);
        let mut steps: Vec<Step> = Vec::new();
        let mut at = FIRST;
        while at < lasts {
            let fault = faults[rng
                .choice(&kinds)
                .map_or(0, |kind| kind[rng.usize(..kind.len())])]
            .clone();
            let active: Vec<_> = steps.iter().filter(|it| it.at + it.lasts > at).collect();
            let fits =
                active.len() < MAX_ACTIVE && !active.iter().any(|it| it.fault.conflicts(&fault));
            if fits {
                let duration = fault.draw_duration(&mut rng).min(lasts - at).max(1);
                steps.push(Step {
                    at,
                    lasts: duration,
                    fault,
                });
            }
            at += rng.u64(300..5000);
            // Now and then a whole deploy.
            if only.is_empty() && rng.u32(..25) == 0 {
                at = deploy(&mut steps, at);
            }
        }
        Self { seed, lasts, steps }
    }

    /// Every selected fault alone, with time to recover after each.
    pub(crate) fn single(seed: u64, only: &[String]) -> Self {
        let mut rng = Rng::with_seed(seed);
        let mut at = FIRST;
        let mut steps = Vec::new();
        for fault in selected(only) {
            let lasts = fault.draw_duration(&mut rng).clamp(1, 6000);
            let limited = fault == Fault::Wechat("limited");
            steps.push(Step { at, lasts, fault });
            at += lasts + if limited { QUOTA } else { PAUSE };
        }
        Self {
            seed,
            lasts: at,
            steps,
        }
    }
}

fn selected(only: &[String]) -> Vec<Fault> {
    let mut faults = Fault::catalogue();
    if !only.is_empty() {
        faults.retain(|fault| only.iter().any(|text| fault.to_string().starts_with(text)));
    }
    assert!(!faults.is_empty(), "no fault is like {only:?}");
    faults
}

/// Groups the faults by the first words of their texts, so that those with many parameters are not more frequent.
fn kinds(faults: &[Fault]) -> Vec<Vec<usize>> {
    let mut kinds: Vec<(String, Vec<usize>)> = Vec::new();
    for (index, fault) in faults.iter().enumerate() {
        let text = fault.to_string();
        let words: Vec<&str> = text.split(' ').collect();
        let kind = match words[..] {
            // Only a lost answer shows whether a repetition counts as one, so it is as frequent as a kill.
            ["network", "players/api", "lose-answers"] => text.clone(),
            ["network", _, condition, ..] => format!("network {condition}"),
            _ => words[0].to_owned(),
        };
        match kinds.iter_mut().find(|(it, _)| *it == kind) {
            Some((_, members)) => members.push(index),
            None => kinds.push((kind, vec![index])),
        }
    }
    kinds.into_iter().map(|(_, members)| members).collect()
}

/// A new version: its migration, then one process after the other.
fn deploy(steps: &mut Vec<Step>, mut at: u64) -> u64 {
    let faults = [Fault::Migrate].into_iter();
    for fault in faults.chain(Process::ALL.map(Fault::Stop)) {
        let overlaps = |step: &Step| step.at + step.lasts > at && step.fault.conflicts(&fault);
        if !steps.iter().any(overlaps) {
            steps.push(Step {
                at,
                lasts: 3000,
                fault,
            });
        }
        at += 3500;
    }
    at
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at {} for {}: {}", self.at, self.lasts, self.fault)
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {} for {}", self.seed, self.lasts)?;
        self.steps.iter().try_for_each(|step| write!(f, "\n{step}"))
    }
}

impl FromStr for Step {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (times, fault) = text.split_once(": ").ok_or(text)?;
        let (at, lasts) = times
            .strip_prefix("at ")
            .and_then(|times| times.split_once(" for "))
            .ok_or(text)?;
        Ok(Self {
            at: at.parse().map_err(|_| text)?,
            lasts: lasts.parse().map_err(|_| text)?,
            fault: fault.parse()?,
        })
    }
}

impl FromStr for Sequence {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let head = lines.next().unwrap_or_default();
        let (seed, lasts) = head
            .strip_prefix("seed ")
            .and_then(|head| head.split_once(" for "))
            .ok_or(head)?;
        Ok(Self {
            seed: seed.parse().map_err(|_| head)?,
            lasts: lasts.parse().map_err(|_| head)?,
            steps: lines.map(str::parse).collect::<Result<_, _>>()?,
        })
    }
}

#[test]
fn sequence_is_the_same_for_a_seed_and_can_be_read_from_its_text() {
    for seed in 0..50 {
        let sequence = Sequence::random(seed, 120_000, &[]);
        assert_eq!(sequence, Sequence::random(seed, 120_000, &[]));
        assert_eq!(sequence.to_string().parse(), Ok(sequence.clone()));
        assert!(sequence.steps.len() > 10, "{sequence}");
    }
    assert_ne!(
        Sequence::random(1, 120_000, &[]),
        Sequence::random(2, 120_000, &[])
    );
}

#[test]
fn only_the_selected_faults_are_drawn() {
    let only = ["kill workers".to_owned(), "flush".to_owned()];
    for step in Sequence::random(1, 60_000, &only).steps {
        let text = step.fault.to_string();
        assert!(only.iter().any(|it| text.starts_with(it)), "{text}");
    }
}
