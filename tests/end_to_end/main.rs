//! The service as its users meet it: the real binary over real engines, WeChat simulated. One file
//! a subject; each test reads like a sentence of the specification.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that can't go on has failed"
)]

mod attacks;
mod audit;
mod bad_input;
mod bad_weather;
mod command_line;
mod configuration;
mod fleet;
mod operators;
mod payments;
mod payments_in_bad_weather;
mod platform_keys;
mod platform_stats;
mod protection;
mod risk;
mod sessions;
mod sign_in;
