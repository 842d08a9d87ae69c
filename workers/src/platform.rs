//! Messages that WeChat pushes.

mod account_cancelled;
mod authorization_revoked;
mod coins_credited;
mod item_delivery;
pub(crate) mod process_push;
pub(crate) mod prune_pushes;
pub(crate) mod pushed_refund;
mod user_info_modified;
