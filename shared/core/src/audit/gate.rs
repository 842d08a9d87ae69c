//! How many events of a kind are kept, and what became of the others. Whoever can cause an event
//! could else fill the table with it. The counts are those of the process, like its metrics.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use strum::{AsRefStr, VariantArray};

use super::AuditKind;

/// Most events of one kind of refusal that a process keeps in a minute.
const MOST_PER_MINUTE: u64 = 60;

const KINDS: usize = AuditKind::VARIANTS.len();

/// What happened to an event. Its names are label values.
#[derive(AsRefStr, Clone, Copy, Debug, PartialEq, Eq, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Outcome {
    /// In the table.
    Stored,
    /// Exceeds the number of its kind that is stored per minute.
    Suppressed,
    /// Only in the log: the database did not accept it.
    Lost,
}

/// A minute of one kind.
#[derive(Clone, Copy)]
struct Minute {
    number: i64,
    seen: u64,
}

static MINUTES: Mutex<[Minute; KINDS]> = Mutex::new([Minute { number: 0, seen: 0 }; KINDS]);

static COUNTS: [[AtomicU64; Outcome::VARIANTS.len()]; KINDS] =
    [const { [const { AtomicU64::new(0) }; Outcome::VARIANTS.len()] }; KINDS];

/// Whether an event is kept.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Admitted {
    Yes,
    /// And so many were not, the last time that there were too many.
    After {
        suppressed: u64,
    },
    No,
}

pub(super) fn admit(kind: AuditKind, now: Timestamp) -> Admitted {
    if !kind.is_refusal() {
        return Admitted::Yes;
    }
    let mut minutes = MINUTES.lock().unwrap_or_else(PoisonError::into_inner);
    let admitted = enter(&mut minutes[kind as usize], now.as_second() / 60);
    drop(minutes);
    if admitted == Admitted::No {
        count(kind, Outcome::Suppressed);
    }
    admitted
}

fn enter(minute: &mut Minute, now: i64) -> Admitted {
    let mut suppressed = 0;
    if minute.number != now {
        suppressed = minute.seen.saturating_sub(MOST_PER_MINUTE);
        *minute = Minute {
            number: now,
            seen: 0,
        };
    }
    minute.seen += 1;
    match suppressed {
        _ if minute.seen > MOST_PER_MINUTE => Admitted::No,
        0 => Admitted::Yes,
        suppressed => Admitted::After { suppressed },
    }
}

pub(super) fn count(kind: AuditKind, outcome: Outcome) {
    COUNTS[kind as usize][outcome as usize].fetch_add(1, Ordering::Relaxed);
}

/// How many events of each kind came to what, since the process began.
pub fn counts() -> impl Iterator<Item = (AuditKind, Outcome, u64)> {
    AuditKind::VARIANTS.iter().flat_map(|kind| {
        Outcome::VARIANTS.iter().map(|outcome| {
            let count = &COUNTS[*kind as usize][*outcome as usize];
            (*kind, *outcome, count.load(Ordering::Relaxed))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_refusals_is_cut_off_and_told_of_in_the_next_minute() {
        let mut minute = Minute { number: 0, seen: 0 };
        for _ in 0..MOST_PER_MINUTE {
            assert_eq!(enter(&mut minute, 7), Admitted::Yes);
        }
        for _ in 0..5 {
            assert_eq!(enter(&mut minute, 7), Admitted::No);
        }
        assert_eq!(enter(&mut minute, 8), Admitted::After { suppressed: 5 });
        assert_eq!(enter(&mut minute, 8), Admitted::Yes);
    }

    #[test]
    fn what_only_operators_can_do_is_always_kept() {
        let now = Timestamp::now();
        let all_kept =
            (0..2 * MOST_PER_MINUTE).all(|_| admit(AuditKind::OrderRefunded, now) == Admitted::Yes);
        assert!(all_kept);
    }
}
