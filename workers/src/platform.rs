//! Messages that WeChat pushes.

pub(crate) mod process_push;
pub(crate) mod prune_pushes;
