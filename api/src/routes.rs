//! The public routes, a folder per domain and a file per route group.

pub(crate) mod accounts;
pub(crate) mod analytics;
pub(crate) mod jobs;
pub(crate) mod payments;
pub(crate) mod social;
