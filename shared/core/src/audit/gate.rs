//! Limits the number of stored events by kind and subject, and counts outcomes: otherwise any client could
//! fill the table, or use up what is stored about others. The counts are those of the process, like its metrics.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use strum::{AsRefStr, VariantArray};

use super::AuditKind;
use crate::base::ids::UserId;

/// Maximum number of events that a process stores per minute and kind of refusal.
const MAX_PER_MINUTE: u64 = 300;

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

/// Maximum number of these that concern one subject: a noisy client must not hide events about others.
const MAX_PER_SUBJECT: u64 = 20;

/// Whom an event is about. Events without a player and an address share one subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    User(UserId),
    Address(IpAddr),
    Unknown,
}

impl Subject {
    pub(super) fn of(user: Option<UserId>, address: Option<IpAddr>) -> Self {
        let address = address.map_or(Self::Unknown, Self::Address);
        user.map_or(address, Self::User)
    }
}

/// The current minute of one kind. Has at most [`MAX_PER_MINUTE`] subjects.
struct Minute {
    number: i64,
    stored: u64,
    suppressed: u64,
    subjects: BTreeMap<Subject, u64>,
}

impl Minute {
    const fn new(number: i64) -> Self {
        Self {
            number,
            stored: 0,
            suppressed: 0,
            subjects: BTreeMap::new(),
        }
    }

    /// `now` is the number of the current minute.
    fn enter(&mut self, subject: Subject, now: i64) -> Admitted {
        let mut before = 0;
        if self.number != now {
            before = self.suppressed;
            *self = Self::new(now);
        }
        let seen = self.subjects.get(&subject).copied().unwrap_or(0);
        if self.stored >= MAX_PER_MINUTE || seen >= MAX_PER_SUBJECT {
            self.suppressed += 1;
            return Admitted::No;
        }
        self.stored += 1;
        self.subjects.insert(subject, seen + 1);
        match before {
            0 => Admitted::Yes,
            suppressed => Admitted::After { suppressed },
        }
    }
}

static MINUTES: Mutex<[Minute; KINDS]> = Mutex::new([const { Minute::new(0) }; KINDS]);

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

pub(super) fn admit(kind: AuditKind, subject: Subject, now: Timestamp) -> Admitted {
    if !kind.is_refusal() {
        return Admitted::Yes;
    }
    let mut minutes = MINUTES.lock().unwrap_or_else(PoisonError::into_inner);
    let admitted = minutes[kind as usize].enter(subject, now.as_second() / 60);
    drop(minutes);
    if admitted == Admitted::No {
        count(kind, Outcome::Suppressed);
    }
    admitted
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

    fn address(last: u8) -> Subject {
        Subject::of(None, Some([192, 0, 2, last].into()))
    }

    #[test]
    fn excess_refusals_are_suppressed_and_counted_in_the_next_minute() {
        let mut minute = Minute::new(0);
        for _ in 0..MAX_PER_SUBJECT {
            assert_eq!(minute.enter(address(1), 7), Admitted::Yes);
        }
        for _ in 0..5 {
            assert_eq!(minute.enter(address(1), 7), Admitted::No);
        }
        let after = Admitted::After { suppressed: 5 };
        assert_eq!(minute.enter(address(1), 8), after);
        assert_eq!(minute.enter(address(1), 8), Admitted::Yes);
        assert_eq!(minute.enter(address(1), 20), Admitted::Yes);
    }

    #[test]
    fn noisy_client_does_not_hide_events_about_others() {
        let mut minute = Minute::new(0);
        for _ in 0..10 * MAX_PER_MINUTE {
            minute.enter(address(1), 7);
        }
        for other in 2..10 {
            assert_eq!(minute.enter(address(other), 7), Admitted::Yes);
        }
        assert_eq!(minute.enter(Subject::Unknown, 7), Admitted::Yes);
    }

    #[test]
    fn many_subjects_together_are_bounded() {
        let mut minute = Minute::new(0);
        let entered = (0..2 * MAX_PER_MINUTE)
            .map(|n| Subject::Address(IpAddr::from(u128::from(n).to_be_bytes())))
            .filter(|subject| minute.enter(*subject, 7) == Admitted::Yes);
        assert_eq!(entered.count() as u64, MAX_PER_MINUTE);
        assert_eq!(minute.subjects.len() as u64, MAX_PER_MINUTE);
    }

    #[test]
    fn operator_actions_are_always_stored() {
        let now = Timestamp::now();
        let admit = || admit(AuditKind::OrderRefunded, Subject::Unknown, now);
        let all_stored = (0..2 * MAX_PER_MINUTE).all(|_| admit() == Admitted::Yes);
        assert!(all_stored);
    }
}
