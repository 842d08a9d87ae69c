//! Payments from the callback endpoint to the ledger, in one process: the real endpoint, handlers, queue
//! and databases over the simulator. The test itself runs the jobs, so it decides what runs when, what
//! crashes and what time it is. Tests that need real processes are in `end_to_end/`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a panic fails the test"
)]

mod cancellations;
mod find;
mod flaky_store;
mod game_server;
mod ingress;
mod interleavings;
mod invariants;
mod late_payments;
mod manual_worker;
mod reconcile;
mod refunds;
mod retention;
mod run;
mod script;
mod settle;
mod shop;
mod tally;
mod unverified_callbacks;
mod virtual_payment;
mod webhooks;
mod wechat;
