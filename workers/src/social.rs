//! Jobs about shares, groups, messages and the friends ranking.

pub(crate) mod hosted_sign_ins;
pub(crate) mod metrics;
pub(crate) mod open_group;
pub(crate) mod prune_messages;
pub(crate) mod report_message;
pub(crate) mod send_message;
pub(crate) mod sweep_social;
pub(crate) mod write_hosted;
