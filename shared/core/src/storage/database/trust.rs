//! Which connections may still be used. An error that one connection meets (the server was demoted or
//! restarted, a prepared statement is outdated, the disk was full) is met by all that were opened before it,
//! one after another, so all of them are replaced when they are next used or returned.
//!
//! One value for the process: errors inside transactions pass only through the conversion to
//! `DatabaseError`, which knows no pool. Another database of the process only reconnects.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

static START: LazyLock<Instant> = LazyLock::new(Instant::now);
/// Connections opened before this time are replaced. Microseconds since `START`; 0: never revoked.
static REVOKED_AT: AtomicU64 = AtomicU64::new(0);

fn since_start(at: Instant) -> u64 {
    let elapsed = at.saturating_duration_since(*START).as_micros();
    u64::try_from(elapsed).unwrap_or(u64::MAX)
}

/// Trusts no connection that exists now.
pub(super) fn revoke() {
    // Never 0, also in the first microsecond.
    REVOKED_AT.fetch_max(since_start(Instant::now()).max(1), Ordering::AcqRel);
}

/// Whether a connection of this age may be used.
pub(super) fn covers(age: Duration) -> bool {
    let revoked_at = REVOKED_AT.load(Ordering::Acquire);
    if revoked_at == 0 {
        return true;
    }
    let opened_at = Instant::now().checked_sub(age).map_or(0, since_start);
    opened_at > revoked_at
}
