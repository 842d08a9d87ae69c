//! Data that WeChat's client passes on: the official vectors, what else is believed, and what is not,
//! each for its own reason.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests, outside #[test] functions"
)]

mod encrypted;
mod raw;
mod sealing;
