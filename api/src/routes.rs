//! The public routes: a folder per domain, a file per group.

pub(crate) mod accounts;
pub(crate) mod analytics;
pub(crate) mod jobs;
pub(crate) mod payments;
pub(crate) mod social;
