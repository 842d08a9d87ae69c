//! Limits the number of stored events by kind, and counts outcomes: otherwise any client could fill the
//! table. The counts are those of the process, like its metrics.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use strum::{AsRefStr, VariantArray};

use super::AuditKind;

/// Maximum number of events that a process stores per minute and kind of refusal.
const MAX_PER_MINUTE: u64 = 60;

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

/// The current minute of one kind.
#[derive(Clone, Copy)]
struct Minute {
    number: i64,
    seen: u64,
}

static MINUTES: Mutex<[Minute; KINDS]> = Mutex::new([Minute { number: 0, seen: 0 }; KINDS]);

static COUNTS: [[AtomicU64; Outcome::VARIANTS.len()]; KINDS] =
    [const { [const { AtomicU64::new(0) }; Outcome::VARIANTS.len()] }; KINDS];

/// Whether an event is stored.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Admitted {
    Yes,
    /// Yes, and this many were suppressed in the last minute with events.
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
        suppressed = minute.seen.saturating_sub(MAX_PER_MINUTE);
        *minute = Minute {
            number: now,
            seen: 0,
        };
    }
    minute.seen += 1;
    match suppressed {
        _ if minute.seen > MAX_PER_MINUTE => Admitted::No,
        0 => Admitted::Yes,
        suppressed => Admitted::After { suppressed },
    }
}

pub(super) fn count(kind: AuditKind, outcome: Outcome) {
    COUNTS[kind as usize][outcome as usize].fetch_add(1, Ordering::Relaxed);
}

/// Number of events by kind and outcome since the process started.
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
    fn excess_refusals_are_suppressed_and_counted_in_the_next_minute() {
        let mut minute = Minute { number: 0, seen: 0 };
        for _ in 0..MAX_PER_MINUTE {
            assert_eq!(enter(&mut minute, 7), Admitted::Yes);
        }
        for _ in 0..5 {
            assert_eq!(enter(&mut minute, 7), Admitted::No);
        }
        assert_eq!(enter(&mut minute, 8), Admitted::After { suppressed: 5 });
        assert_eq!(enter(&mut minute, 8), Admitted::Yes);
    }

    #[test]
    fn operator_actions_are_always_stored() {
        let now = Timestamp::now();
        let all_stored =
            (0..2 * MAX_PER_MINUTE).all(|_| admit(AuditKind::OrderRefunded, now) == Admitted::Yes);
        assert!(all_stored);
    }
}
