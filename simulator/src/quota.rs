//! The per-minute quota of each API (45011). A window starts with its first call.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};

const MINUTE: SignedDuration = SignedDuration::from_secs(60);

/// The current window of each API.
#[derive(Default)]
pub(crate) struct Quotas(HashMap<&'static str, Window>);

struct Window {
    started: Timestamp,
    calls: u32,
}

impl Quotas {
    /// Counts a call of `api`; returns false when its quota is exhausted.
    pub(crate) fn try_acquire(
        &mut self,
        api: &'static str,
        limit: Option<u32>,
        now: Timestamp,
    ) -> bool {
        let Some(limit) = limit else { return true };
        let window = self.0.entry(api).or_insert(Window {
            started: now,
            calls: 0,
        });
        let age = now.duration_since(window.started);
        // A clock that was set back also starts a new window.
        if age >= MINUTE || age.is_negative() {
            *window = Window {
                started: now,
                calls: 0,
            };
        }
        if window.calls >= limit {
            return false;
        }
        window.calls += 1;
        true
    }
}
