//! The public routes, one file a group.

pub(crate) mod inventory;
pub(crate) mod jobs;
pub(crate) mod keys;
pub(crate) mod login;
pub(crate) mod orders;
pub(crate) mod pay_notify;
pub(crate) mod products;
pub(crate) mod profile;
pub(crate) mod report;
pub(crate) mod session;
pub(crate) mod share_group;
