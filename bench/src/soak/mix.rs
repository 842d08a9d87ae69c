//! The load: what players of a game send, in fixed proportions.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;

use super::feed::Feed;
use crate::compare::requests::{self, SENDERS};
use crate::compare::seeds::PLAYERS;
use crate::load::Requests;

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Read,
    SignIn,
    Report,
    Order,
    Callback,
}

/// Percentages. A client polls more than it does anything else; each session signs in once and reports its
/// events every few minutes; few players open a payment, and half of the payments are never made: an order is
/// created as often as another one is paid.
const WEIGHTS: [(Kind, u64); 5] = [
    (Kind::Read, 65),
    (Kind::SignIn, 20),
    (Kind::Report, 5),
    (Kind::Order, 5),
    (Kind::Callback, 5),
];

/// The weights in words.
pub(super) const DESCRIPTION: &str = "65 % reads of an order, 20 % sign-ins, 5 % reports of 50 events, \
    5 % new orders (never paid, closed after a minute), 5 % payment callbacks of other orders";

/// The kind of a request: each hundred requests have the exact proportions, evenly mixed.
fn kind(number: u64) -> Kind {
    // 37 has no common factor with 100.
    let mut place = number % 100 * 37 % 100;
    for (kind, weight) in WEIGHTS {
        match place.checked_sub(weight) {
            Some(rest) => place = rest,
            None => return kind,
        }
    }
    Kind::Read
}

/// The requests of the mix.
pub(super) fn requests(tokens: &Arc<[String]>, feed: Arc<Feed>) -> Requests {
    let (sign_ins, reads, orders) = (
        requests::sign_ins(),
        requests::reads(Arc::clone(tokens)),
        requests::orders(Arc::clone(tokens)),
    );
    let tokens = Arc::clone(tokens);
    let counters: [AtomicU64; 4] = Default::default();
    let next = move |counter: usize| counters[counter].fetch_add(1, Ordering::Relaxed);
    Arc::new(move |number| match kind(number) {
        Kind::Read => reads(next(0)),
        Kind::SignIn => sign_ins(not_a_sender(next(1))),
        Kind::Report => {
            let (number, now) = (next(2), Timestamp::now().as_millisecond());
            let request = requests::post("/api/wx/report", requests::report(number, now));
            requests::with_token(request, &tokens, number)
        }
        Kind::Order => orders(next(3)),
        // Without one in time, a read keeps the rate; the feed counts it.
        Kind::Callback => feed.take().unwrap_or_else(|| reads(next(0))),
    })
}

/// A number of a sign-in by a player who is no sender: further sign-ins would end the senders' sessions.
const fn not_a_sender(number: u64) -> u64 {
    let others = PLAYERS - SENDERS;
    number / others * PLAYERS + SENDERS + number % others
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_hundred_requests_have_the_weights() {
        let kinds: Vec<_> = (700..800).map(kind).collect();
        for (kind, weight) in WEIGHTS {
            let number = kinds.iter().filter(|it| **it == kind).count();
            assert_eq!(u64::try_from(number).unwrap(), weight, "{kind:?}");
        }
    }

    #[test]
    fn senders_do_not_sign_in_again() {
        let mut numbers: Vec<_> = (0..30_000).map(not_a_sender).collect();
        assert!(numbers.iter().all(|it| it % PLAYERS >= SENDERS));
        numbers.dedup();
        assert_eq!(numbers.len(), 30_000);
    }
}
