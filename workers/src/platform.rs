//! Messages that WeChat pushes.

mod account_cancelled;
mod authorization_revoked;
mod gift_pack;
pub(crate) mod process_push;
pub(crate) mod prune_pushes;
mod subscriptions;
mod user_info_modified;
