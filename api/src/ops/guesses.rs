//! Slows down guesses of the admin token: the response to a wrong one is delayed, and only a few of a
//! peer's are in progress at a time. Requests with the right token are not delayed, except while their
//! peer is guessing at that rate.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Delay of the response to a wrong token.
const DELAY: Duration = Duration::from_millis(200);
/// Number of delayed responses per peer; with more, its tokens are not even compared.
const MAX_DELAYED: usize = 4;

/// The delayed responses by peer. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Guesses(Arc<Mutex<HashMap<Option<IpAddr>, usize>>>);

impl Guesses {
    /// Whether another token of this peer may be compared.
    pub(super) fn may_try(&self, peer: Option<IpAddr>) -> bool {
        let delayed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        delayed.get(&peer).is_none_or(|count| *count < MAX_DELAYED)
    }

    /// Waits, after a wrong token of this peer.
    pub(super) async fn wrong(&self, peer: Option<IpAddr>) {
        let _delayed = Delayed::new(self, peer);
        tokio::time::sleep(DELAY).await;
    }
}

/// Counts a delayed response until it is dropped, also by a client that disconnects.
struct Delayed<'a> {
    guesses: &'a Guesses,
    peer: Option<IpAddr>,
}

impl<'a> Delayed<'a> {
    fn new(guesses: &'a Guesses, peer: Option<IpAddr>) -> Self {
        let mut delayed = guesses.0.lock().unwrap_or_else(PoisonError::into_inner);
        *delayed.entry(peer).or_default() += 1;
        drop(delayed);
        Self { guesses, peer }
    }
}

impl Drop for Delayed<'_> {
    fn drop(&mut self) {
        let delayed = &self.guesses.0;
        let mut delayed = delayed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = delayed.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                delayed.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use futures_util::future::join_all;

    use super::*;

    #[tokio::test]
    async fn wrong_tokens_of_a_peer_are_slowed_down() {
        let guesses = Guesses::default();
        let (guesser, other) = (Some([192, 0, 2, 1].into()), Some([192, 0, 2, 2].into()));
        let started = Instant::now();
        let checked = tokio::spawn({
            let guesses = guesses.clone();
            async move {
                tokio::task::yield_now().await;
                assert!(!guesses.may_try(guesser));
                assert!(guesses.may_try(other));
            }
        });
        let all = join_all((0..MAX_DELAYED).map(|_| guesses.wrong(guesser)));
        let (_, checked) = tokio::join!(all, checked);
        checked.unwrap();
        assert!(started.elapsed() >= DELAY);
        assert!(guesses.may_try(guesser));
        assert!(guesses.0.lock().unwrap().is_empty());
    }
}
