//! How much is sent: enough for stable medians, or just enough to see that every scenario works.

use std::time::Duration;

/// The sizes of all loads.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Of a closed loop.
    pub(crate) seconds: Duration,
    /// Of a closed loop before it: compilers, pools, prepared statements.
    pub(crate) warm_up: Duration,
    /// Requests before asynchronous work.
    pub(crate) warm_up_requests: u64,
    /// Requests per second of the open loop.
    pub(crate) rate: u32,
    pub(crate) rate_seconds: u64,
    pub(crate) callbacks: u64,
    /// Reports of 50 events.
    pub(crate) reports: u64,
    /// Jobs of the bare queue.
    pub(crate) jobs: u64,
    /// Jobs per second while waits are measured, and for how long.
    pub(crate) job_rate: u32,
    pub(crate) job_seconds: u32,
    /// How long to wait for other programs to pause before each load.
    pub(crate) quiet: Duration,
}

impl Plan {
    /// For figures that are published.
    pub(crate) const FULL: Self = Self {
        seconds: Duration::from_secs(10),
        warm_up: Duration::from_secs(4),
        warm_up_requests: 2_000,
        rate: 50,
        rate_seconds: 20,
        callbacks: 10_000,
        reports: 4_000,
        jobs: 100_000,
        job_rate: 200,
        job_seconds: 20,
        quiet: Duration::from_secs(30),
    };

    /// A smoke test: its figures mean nothing.
    pub(crate) const QUICK: Self = Self {
        seconds: Duration::from_secs(1),
        warm_up: Duration::from_millis(300),
        warm_up_requests: 100,
        rate: 50,
        rate_seconds: 2,
        callbacks: 300,
        reports: 50,
        jobs: 2_000,
        job_rate: 200,
        job_seconds: 1,
        quiet: Duration::ZERO,
    };
}
