//! Tests of the simulator over HTTP.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests, outside #[test] functions"
)]

mod access;
mod client_data;
mod code2session;
mod control;
mod faults;
mod groups;
mod harness;
mod pay;
mod vpay;
