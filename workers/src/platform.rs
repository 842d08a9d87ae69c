//! Messages that WeChat pushes.

mod gift_pack;
pub(crate) mod process_push;
pub(crate) mod prune_pushes;
mod subscriptions;
