//! Messages that WeChat pushes.

mod account_cancelled;
mod authorization_revoked;
pub(crate) mod process_push;
pub(crate) mod prune_pushes;
mod user_info_modified;
