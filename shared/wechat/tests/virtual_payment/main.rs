//! Virtual payment and its pushes, against the simulator over a real listener.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests, outside #[test] functions"
)]

mod calls;
mod inbox;
mod keys;
mod lost_answers;
mod platform;
mod purchases;
mod pushes;
mod secrecy;
