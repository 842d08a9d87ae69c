//! The service in this process ([`TestApp`](avalon_tests::app::TestApp)): what each route group answers,
//! success and rejection, without processes and without waiting. Behaviour across processes, engines
//! and outages is tested in `end_to_end`, the rules of the money in `money`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that can't go on has failed"
)]

mod accounts;
mod boards;
mod events;
mod gifts;
mod groups;
mod hosted;
mod jobs;
mod leftovers;
mod messages;
mod operators;
mod payments;
mod personal_data;
mod pushes;
mod shares;
mod virtual_payment;
