//! The protocol of leases as a model: checked exhaustively by itself, and compared with the engines.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed expectation fails the test"
)]

#[path = "../engines/mod.rs"]
mod engines;
mod engines_follow;
mod exhaustive;
mod jobs;
