//! WeChat Pay: the test vectors, and the client against a platform whose responses are set by each
//! test and signed with the vectors' keys.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests, outside #[test] functions"
)]

mod abnormal_refunds;
mod bills;
mod callbacks;
mod failover;
mod keys;
mod platform;
mod responses;
mod signatures;
mod vectors;
