//! `code2Session` against the simulator over a real listener, and against servers that answer what
//! the simulator does not.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests, outside #[test] functions"
)]

mod answers;
mod failures;
mod platform;
mod secrets;
