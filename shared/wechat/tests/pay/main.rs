//! WeChat Pay: the published test vectors, and the client against a platform that says what a test
//! wants, signed with the vectors' keys.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests, outside #[test] functions"
)]

mod answers;
mod bills;
mod callbacks;
mod failover;
mod keys;
mod platform;
mod signatures;
mod vectors;
