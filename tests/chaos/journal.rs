//! What players were answered: the checker compares it with the books.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// An event that the service has accepted.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) user: String,
    pub(crate) id: String,
    /// When the request was sent that was answered.
    pub(crate) accepted: Instant,
}

/// A player who signed in for the first time with another's code.
#[derive(Clone, Debug)]
pub(crate) struct Invitation {
    pub(crate) invited: String,
    pub(crate) inviter: String,
    /// When the milestone was accepted, if it was.
    pub(crate) reached: Option<Instant>,
}

/// An accepted job.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) address: String,
    pub(crate) what: &'static str,
    /// When the request was sent that was answered.
    pub(crate) accepted: Instant,
}

/// How a request went, as the player saw it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) at: Instant,
    pub(crate) took: Duration,
    pub(crate) what: &'static str,
    /// A status, with the code of a problem, or `no answer`.
    pub(crate) answer: String,
}

/// Redis was emptied.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flush {
    /// When FLUSHALL was sent.
    pub(crate) sent: Instant,
    /// When it had been answered; `None` until then.
    pub(crate) done: Option<Instant>,
}

#[derive(Default)]
pub(crate) struct Entries {
    pub(crate) events: Vec<Event>,
    /// Ids of all events that were ever sent.
    pub(crate) sent_events: BTreeSet<String>,
    /// Orders that the service has named.
    pub(crate) orders: BTreeSet<String>,
    /// Sources of ledger entries of accepted uses of items.
    pub(crate) consumed: BTreeSet<String>,
    /// The same of uses that were refused.
    pub(crate) not_consumed: BTreeSet<String>,
    /// Sums of the accepted scores, by player.
    pub(crate) scores: BTreeMap<String, i64>,
    pub(crate) invitations: Vec<Invitation>,
    /// Tokens of sessions that have ended.
    pub(crate) ended: Vec<String>,
    /// Secrets that the service issued.
    pub(crate) secrets: Vec<String>,
    /// Jobs without a known outcome, by address.
    pub(crate) open_jobs: BTreeMap<String, Job>,
    /// Number of jobs with an outcome.
    pub(crate) ended_jobs: usize,
    /// Coins that players were given at WeChat, by openid.
    pub(crate) coins: BTreeMap<String, i64>,
    pub(crate) seen: Vec<Seen>,
    /// Answers that no fault excuses.
    pub(crate) violations: Vec<String>,
    /// Payments that players think about.
    pub(crate) undecided: usize,
    pub(crate) flushes: Vec<Flush>,
}

/// Shared by all players.
#[derive(Default)]
pub(crate) struct Journal(Mutex<Entries>);

impl Journal {
    pub(crate) fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().expect("no player panics with the journal")
    }

    pub(crate) fn violation(&self, text: String) {
        println!("VIOLATION: {text}");
        self.entries().violations.push(text);
    }
}

impl Entries {
    /// Whether no job is without an outcome and no player thinks about a payment.
    pub(crate) fn is_settled(&self) -> bool {
        self.undecided == 0 && self.open_jobs.is_empty()
    }

    /// Whether what was accepted at this time may have been lost with the contents of Redis: it was emptied soon
    /// after, or meanwhile. What is accepted while FLUSHALL is under way may be stored before it.
    pub(crate) fn flushed_after(&self, accepted: Instant, within: Duration) -> bool {
        self.flushes.iter().any(|flush| {
            flush.done.is_none_or(|done| accepted <= done)
                && flush.sent.saturating_duration_since(accepted) <= within
        })
    }
}

// Once reported as lost: sign-ins that were accepted 40 ms after FLUSHALL had been sent, on a busy machine.
#[test]
fn what_is_accepted_during_or_soon_before_flushall_may_be_lost() {
    let (start, second) = (Instant::now(), Duration::from_secs(1));
    let entries = Entries {
        flushes: vec![Flush {
            sent: start + 20 * second,
            done: Some(start + 21 * second),
        }],
        ..Entries::default()
    };
    let lost = |accepted: f64| {
        entries.flushed_after(start + Duration::from_secs_f64(accepted), 10 * second)
    };
    let expected = [(9.9, false), (10.1, true), (20.9, true), (21.1, false)];
    assert_eq!(expected.map(|(at, _)| (at, lost(at))), expected);
}
