//! Faults at random, by machine: real processes over real stores behind proxies, players who note what they were
//! answered, and a checker that compares that with every book. `docs/reliability.md` says how to use it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a panic fails the test"
)]

mod apply;
mod checker;
mod drain;
mod faults;
mod game_server;
mod journal;
mod load;
mod locks;
mod parties;
mod recovery;
mod run;
mod schedule;
mod sequences;
mod shrink;
mod simulator;
mod start_order;
mod world;
