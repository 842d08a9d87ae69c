//! The public routes: a folder per domain, a file per group. A domain has one router for each policy of
//! `app` under which it has routes.

pub(crate) mod accounts;
pub(crate) mod analytics;
pub(crate) mod jobs;
pub(crate) mod payments;
pub(crate) mod platform;
pub(crate) mod social;
