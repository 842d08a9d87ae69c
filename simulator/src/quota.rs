//! The per-minute quota of each API (45011). A minute begins with the first call in it.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};

const MINUTE: SignedDuration = SignedDuration::from_secs(60);

/// How much of its minute each API has used.
#[derive(Default)]
pub(crate) struct Quotas(HashMap<&'static str, Window>);

struct Window {
    began: Timestamp,
    calls: u32,
}

impl Quotas {
    /// Takes one call from the minute of `api`; false when nothing is left of it.
    pub(crate) fn take(&mut self, api: &'static str, limit: Option<u32>, now: Timestamp) -> bool {
        let Some(limit) = limit else { return true };
        let window = self.0.entry(api).or_insert(Window {
            began: now,
            calls: 0,
        });
        let age = now.duration_since(window.began);
        // A clock that was set back also begins a new minute.
        if age >= MINUTE || age.is_negative() {
            *window = Window {
                began: now,
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
