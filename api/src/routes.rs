//! The public routes, one file a group.

pub(crate) mod jobs;
pub(crate) mod keys;
pub(crate) mod login;
