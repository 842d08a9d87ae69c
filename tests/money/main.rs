//! The money, from WeChat's door to the ledger, in one process: the real door, handlers, queue and
//! databases over the simulator, worked by hand, so that a test decides what runs when, what dies and
//! what time it is. What needs real processes is in `end_to_end/`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that can't go on has failed"
)]

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
mod shop;
mod webhooks;
mod wechat;
