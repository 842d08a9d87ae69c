//! WeChat Pay over real HTTP, by a merchant of the tests' own making.

mod bills;
mod callbacks;
mod faults;
mod forged;
mod inbox;
mod keys;
mod merchant;
mod orders;
mod paying;
mod refunds;
mod requests;
mod settings;
mod verifying;
