//! The clock by which virtual payment remembers bill numbers, credits coins and repeats pushes. It runs with
//! the platform's, and tests can advance it by hours without waiting.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

use crate::state::World;

/// The advance of the clock, and a way to wait for it.
pub(crate) struct Clock {
    advanced: watch::Sender<SignedDuration>,
}

impl Default for Clock {
    fn default() -> Self {
        Self {
            advanced: watch::Sender::new(SignedDuration::ZERO),
        }
    }
}

impl Clock {
    /// Advances the clock, which wakes everything that becomes due.
    pub(crate) fn advance(&self, by: Duration) {
        let by = SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX);
        self.advanced
            .send_modify(|advanced| *advanced = advanced.saturating_add(by));
    }

    /// Sets the clock back to the platform's.
    pub(crate) fn reset(&self) {
        self.advanced.send_replace(SignedDuration::ZERO);
    }

    /// Returns the clock's time when the platform's is `now`.
    pub(crate) fn time(&self, now: Timestamp) -> Timestamp {
        let advanced = *self.advanced.borrow();
        now.checked_add(advanced).unwrap_or(Timestamp::MAX)
    }

    /// Waits until `due`, or until shutdown begins.
    pub(crate) async fn wait_until(&self, world: &World, due: Timestamp) {
        let mut advanced = self.advanced.subscribe();
        while !world.is_stopping() {
            let now = self.time(world.state().now());
            let Ok(remaining) = Duration::try_from(due.duration_since(now)) else {
                return;
            };
            if remaining.is_zero() {
                return;
            }
            tokio::select! {
                () = world.wait(remaining) => {}
                _ = advanced.changed() => {}
            }
        }
    }
}
