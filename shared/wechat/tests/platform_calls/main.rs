//! The APIs that need an access token, against the simulator over a real listener.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests, outside #[test] functions"
)]

mod analysis;
mod platform;
mod players;
mod tokens;
