//! The invariants of the payment tables under random interleavings, on both databases: an order is paid at
//! most once, exactly what was paid is granted, stock is conserved, and balances are the sums of the ledger.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that can't go on has failed"
)]

mod coin_audits;
mod coins;
mod concurrency;
mod holds;
mod locks;
mod order_writer;
mod payment_writer;
mod refunds;
mod shop;
mod steps;
