//! `code2Session` against the simulator over a real listener, and against servers with responses that
//! the simulator does not produce.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests, outside #[test] functions"
)]

mod failures;
mod platform;
mod responses;
mod secrets;
