//! File descriptors of the test process.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Permits this process to have this many files open.
///
/// # Panics
/// If the system does not permit that.
pub fn allow_open_files(needed: u64) {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < needed) {
        limit.current = Some(needed);
        setrlimit(Resource::Nofile, limit)
            .unwrap_or_else(|error| panic!("raise the hard limit to {needed} open files: {error}"));
    }
}
