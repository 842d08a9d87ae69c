//! Messages that WeChat pushes.

mod account_cancelled;
mod authorization_revoked;
mod coins_credited;
mod gift_pack;
mod item_delivery;
pub(crate) mod process_push;
pub(crate) mod prune_pushes;
pub(crate) mod pushed_refund;
mod subscriptions;
mod user_info_modified;
