//! Shares and groups.

pub(crate) mod share_group;
