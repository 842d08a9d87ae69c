//! WeChat Pay over HTTP, used by an independently implemented merchant.

mod abnormal_refunds;
mod bills;
mod callbacks;
mod faults;
mod forgeries;
mod inbox;
mod keys;
mod merchant;
mod orders;
mod payment;
mod refunds;
mod requests;
mod settings;
mod verification;
mod wire;
