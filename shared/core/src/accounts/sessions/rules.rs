//! The configured rules of sessions.

use std::time::Duration;

use jiff::Timestamp;

use super::player::after;
use crate::accounts::config::DevicePolicy;

/// The rules of sessions, as `auth` configures them.
#[derive(Clone, Copy, Debug)]
pub struct SessionRules {
    /// Number of devices on which a player may be signed in.
    pub policy: DevicePolicy,
    /// Lifetime of a session since its sign-in or last refresh.
    pub ttl: Duration,
    /// Lifetime of a session since its sign-in, however often it is refreshed.
    pub max_age: Duration,
    /// Time after a refresh during which the same refresh token is answered again.
    pub refresh_grace: Duration,
}

impl SessionRules {
    /// When a session expires that was created at `created_at` and is refreshed now, Unix ms.
    pub(super) fn expiry(&self, created_at: i64, now: Timestamp) -> i64 {
        let max_age = i64::try_from(self.max_age.as_millis()).unwrap_or(i64::MAX);
        // A clock that was stepped back since must not prolong the session.
        let created_at = created_at.min(now.as_millisecond());
        after(now, self.ttl).min(created_at.saturating_add(max_age))
    }

    /// Whether a refresh at `refreshed_at` (Unix ms) was so recent that its request may be a repeat.
    pub(super) fn in_grace(&self, refreshed_at: i64, now: Timestamp) -> bool {
        let age = now.as_millisecond().abs_diff(refreshed_at);
        u128::from(age) <= self.refresh_grace.as_millis()
    }
}
