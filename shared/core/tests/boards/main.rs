//! Leaderboards on both databases and with both indexes: SQLite with the index in the process, Postgres with that
//! in Redis, as they are deployed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that can't go on has failed"
)]

mod cluster;
mod hidden;
mod hosted;
mod judging;
mod large;
mod plausibility;
mod ranking;
mod rebuilding;
mod scores;
mod support;
mod windows;
