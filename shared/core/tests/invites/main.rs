//! Shares, invitations and their rewards, on both databases, and what abuse of them leads to.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that can't go on has failed"
)]

mod abuse;
mod attribution;
mod milestones;
mod settlement;
mod shares;
mod world;
