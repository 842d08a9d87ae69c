//! Data forwarded by WeChat's client: the official examples, further valid data, and every reason for
//! rejection.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests, outside #[test] functions"
)]

mod encrypted;
mod raw;
mod sealing;
