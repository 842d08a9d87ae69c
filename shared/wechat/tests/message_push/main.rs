//! Message pushes: every vector, and every negative one for its own reason.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests, outside #[test] functions"
)]

mod diagnosis;
mod duplicates;
mod events;
mod keys;
mod modes;
mod pay_events;
mod refusals;
mod vectors;
mod verification;
